"""What any part may use: time, the store, processes, certificates, the disk."""
