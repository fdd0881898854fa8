#pragma once
#include <string>

std::string numeral(int number);
