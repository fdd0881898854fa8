#include "numerals.hpp"

#include <array>
#include <utility>

std::string numeral(int number) {
    static constexpr std::array<std::pair<int, const char *>, 13> values{{{1000, "M"}, {900, "CM"}, {500, "D"},
        {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"}, {40, "XL"}, {10, "X"}, {9, "IX"}, {5, "V"}, {4, "IV"}, {1, "I"}}};
    std::string out;
    for (auto [value, letters] : values)
        for (; number >= value; number -= value) out += letters;
    return out;
}
