"""What clients upload: assets, their blobs, and the files that instances get of them."""
