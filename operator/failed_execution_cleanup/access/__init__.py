"""From an Appliance to open doors: what the operator and break-glass share. Knows the resource's model, but nothing of Kubernetes."""
