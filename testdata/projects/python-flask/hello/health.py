"""Exits with 0 when the program answers."""

import sys

from hello import app

response = app.test_client().get("/")
print(response.status_code, response.get_json()["message"], "as", __import__("os").getuid())
sys.exit(response.status_code != 200)
