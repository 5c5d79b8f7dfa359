-- Stop after the action in flight, and release the claim.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["failover.ossea.io/suspended"] = "true"
return obj
