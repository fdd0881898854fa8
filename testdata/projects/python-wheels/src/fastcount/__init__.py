"""Counts the words of its arguments, in C."""

import sys

from ._count import words


def main():
    if "--help" in sys.argv:
        print("usage: fastcount TEXT...")
        return
    print(sum(words(text) for text in sys.argv[1:]))
