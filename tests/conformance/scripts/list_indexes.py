"""The names of all indexes, as the client lists them: `list_indexes.py`."""

import json

from connect import rest_client

print(json.dumps(sorted(rest_client().list_indexes().names())))
