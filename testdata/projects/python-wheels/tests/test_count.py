import unittest

from fastcount._count import words


class Counting(unittest.TestCase):
    def test_words(self):
        self.assertEqual(words("two  words"), 2)
        self.assertEqual(words(""), 0)
