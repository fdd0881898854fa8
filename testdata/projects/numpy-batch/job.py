import sys

import numpy

data = numpy.loadtxt(sys.argv[1], delimiter=",")
print(data.shape, data.sum(axis=0).tolist())
