-- Approve exactly the plan that the status shows; if it changes before it is begun, it waits for a new approval.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["failover.ossea.io/approvedPlan"] = obj.status.planHash
return obj
