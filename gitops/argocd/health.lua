-- Health of a FailedExecutionCleanup. Argo CD itself says Progressing while the object is being deleted.
local health = {}
local status = obj.status or {}

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" or condition.type == "Ready" then
    conditions[condition.type] = condition
  end
end
local ready = conditions["Ready"]

if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  health.status = "Progressing"
  health.message = "The operator has not looked at this version of the cleanup yet."
  return health
end

health.message = ready.message
if conditions["Stalled"] ~= nil then
  health.status = "Degraded"
elseif ready.status == "True" then
  health.status = "Healthy"
elseif conditions["Suspended"] ~= nil or ready.reason == "PlanReady" then
  health.status = "Suspended"
else
  health.status = "Progressing"
end
return health
