#include "numerals.hpp"

int main() { return numeral(1994) == "MCMXCIV" ? 0 : 1; }
