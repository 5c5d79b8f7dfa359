// Only its custom resource definitions are used, see development/go_tools/definitions.py.
// Another release: change the version, then `go mod download github.com/prometheus-operator/prometheus-operator`.
module development/go_tools/prometheus_operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
