"""Pictures of what the chapters compute. Nothing here takes part in a computation."""
