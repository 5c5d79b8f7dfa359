"""What is handed out with a version: built from a commit alone, the same bytes each time."""
