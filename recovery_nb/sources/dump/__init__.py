"""BSON back to back: single files, the folders of `mongodump`, and GridFS within them."""
