"""Says hello."""

import os

from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
def hello():
    """Greets whom the environment names."""
    return jsonify(message=f"hello {os.environ.get('WHO', 'world')}")
