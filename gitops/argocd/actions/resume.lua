-- Go on from what is observed now.
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["failover.ossea.io/suspended"] = nil
return obj
