#include "numerals.hpp"

#include <cstdlib>
#include <iostream>

int main(int count, char **arguments) {
    for (int i = 1; i < count; i++) std::cout << numeral(std::atoi(arguments[i])) << '\n';
}
