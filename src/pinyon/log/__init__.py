"""The append log: durable entries in order, one file sync for a group of them. Knows nothing of what an entry means."""
