from setuptools import Extension, setup

setup(ext_modules=[Extension("fastcount._count", ["src/fastcount/_count.c"])])
