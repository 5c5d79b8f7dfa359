-- What may be done with a FailedExecutionCleanup now; each action only sets annotations, so Git never differs.
local annotations = obj.metadata.annotations or {}
local spec = obj.spec or {}
local status = obj.status or {}

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" or condition.type == "Ready" then
    conditions[condition.type] = condition
  end
end
local ready = conditions["Ready"] or {}

local deleting = obj.metadata.deletionTimestamp ~= nil
local finished = ready.status == "True"
local stalled = conditions["Stalled"] ~= nil
local suspended = annotations["failover.ossea.io/suspended"] == "true"
local awaiting = conditions["Planned"] ~= nil or ready.reason == "AwaitingApproval"
local approved = annotations["failover.ossea.io/approvedPlan"] == status.planHash

local actions = {}
actions["suspend"] = { ["disabled"] = deleting or finished or suspended or spec.suspend == true }
actions["resume"] = { ["disabled"] = deleting or not suspended }
actions["re-run"] = { ["disabled"] = deleting or not (finished or stalled) }
actions["approve"] = { ["disabled"] = deleting or finished or not awaiting or status.planHash == nil or approved }
return actions
