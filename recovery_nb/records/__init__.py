"""What a record is: its BSON bytes, framed, keyed, fingerprinted, and read from Extended JSON.

Nothing here knows where records come from or what becomes of them.
"""
