"""A minimal controller-runtime controller, in Go, for the same resources."""
