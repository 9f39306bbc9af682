// Numbers of a JSON array, straight into float32.
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

// Powers of ten from -30 to 30, each the double nearest to it.
constexpr int kLargestPower = 30;
constexpr double kPowers[2 * kLargestPower + 1] = {
    1e-30, 1e-29, 1e-28, 1e-27, 1e-26, 1e-25, 1e-24, 1e-23, 1e-22, 1e-21, 1e-20, 1e-19,
    1e-18, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7,
    1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5,
    1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
    1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29,
    1e30};
constexpr std::uint64_t kWholePowers[8] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
constexpr int kMostDigits = 19;  // any number of so many digits fits 64 bits

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

// A number of JSON's grammar: `digits` x 10^`power`, negative where `negative`, of which `count` digits were read.
struct Decimal {
    const char* end = nullptr;
    std::uint64_t digits = 0;
    int count = 0;
    int power = 0;
    bool negative = false;
    bool whole = true;  // it has neither fraction nor exponent
};

// The value of eight digits, each in a byte of its own, the first in the lowest.
std::uint64_t value_of(std::uint64_t word) {
    word = word * 10 + (word >> 8);
    return (((word & 0x000000FF000000FF) * 0x000F424000000064) +
            (((word >> 16) & 0x000000FF000000FF) * 0x0000271000000001)) >> 32;
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define CROSSALIGN_WORDS 1
#endif

#if CROSSALIGN_WORDS
std::uint64_t load_digits(const char* text) {
    std::uint64_t word;
    std::memcpy(&word, text, 8);
    return word ^ 0x3030303030303030;
}

// The high bit of the first byte that is no digit; what a carry makes of later bytes does not matter. 0 where all are.
std::uint64_t others(std::uint64_t word) { return ((word + 0x7676767676767676) | word) & 0x8080808080808080; }

// How many of the last eight are digits is found, and their value computed, without a branch: the processor could not
// foresee it. `digits` and `count` grow, `count` by less than eight.
void add_last(std::uint64_t word, std::uint64_t other, std::uint64_t& digits, int& count) {
    const int last = __builtin_ctzll(other) / 8;
    const std::uint64_t front = (word << (56 - 8 * last)) << 8;  // zeros in front; a shift by 64 would be undefined
    digits = digits * kWholePowers[last] + value_of(front);
    count += last;
}
#endif

const char* read_digits(const char* text, const char* stop, Decimal& decimal) {
#if CROSSALIGN_WORDS
    while (stop - text >= 8) {
        const std::uint64_t word = load_digits(text), other = others(word);
        const int before = decimal.count;
        if (other != 0) {
            add_last(word, other, decimal.digits, decimal.count);
            return text + (decimal.count - before);
        }
        decimal.digits = decimal.digits * 100000000 + value_of(word);
        decimal.count += 8;
        text += 8;
    }
#endif
    while (text != stop && is_digit(*text)) {
        decimal.digits = decimal.digits * 10 + static_cast<unsigned>(*text++ - '0');
        ++decimal.count;
    }
    return text;
}

// The number that begins at `text`; its `end` is null where none does.
Decimal read_decimal(const char* text, const char* end) {
    Decimal decimal;
    if (text == end) return decimal;
    decimal.negative = *text == '-';
    text += decimal.negative;
    if (text == end || !is_digit(*text)) return decimal;
    if (*text == '0') {
        ++text;
    } else {
        text = read_digits(text, end, decimal);
    }
    if (text != end && *text == '.') {
        decimal.whole = false;
        const int before = decimal.count;
        text = read_digits(text + 1, end, decimal);
        if (decimal.count == before) return decimal;
        decimal.power = before - decimal.count;
    }
    if (text != end && (*text == 'e' || *text == 'E')) {
        decimal.whole = false;
        bool down = false;
        if (++text != end && (*text == '+' || *text == '-')) down = *text++ == '-';
        if (text == end || !is_digit(*text)) return decimal;
        int exponent = 0;
        for (; text != end && is_digit(*text); ++text) {
            if (exponent < 10000) exponent = exponent * 10 + (*text - '0');
        }
        decimal.power += down ? -exponent : exponent;
    }
    decimal.end = text;
    return decimal;
}

// Whether `digits` holds all digits of the number: those behind its leading zeros fit 64 bits.
bool holds_all_digits(const char* text, const Decimal& decimal) {
    if (decimal.count <= kMostDigits) return true;
    text += decimal.negative;
    text += *text == '0';  // it stands alone before the point and was not read
    int zeros = 0;
    for (text += *text == '.'; *text == '0'; ++text) ++zeros;
    return decimal.count - zeros <= kMostDigits;
}

// The float32 nearest to the double nearest to digits x 10^power; false where these do not tell.
//
// One rounding each of the digits, of the power and of their product leave `near` within 3 x 2^-53 of the number, as a
// share of it, and the nearest double within 2^-53. Both round to one float32 unless a boundary between two of them,
// which is where the 29 bits below a float32 are 2^28, lies within 8 units of the last place of `near`.
bool round_digits(std::uint64_t digits, int power, bool negative, float& value) {
    const double near = static_cast<double>(digits) * kPowers[kLargestPower + power];
    if (!(near > 1.2e-38 && near < 3.4e38)) return false;
    std::uint64_t bits;
    std::memcpy(&bits, &near, 8);
    const std::int64_t below = static_cast<std::int64_t>(bits & 0x1FFFFFFF) - 0x10000000;
    if (below >= -8 && below <= 8) return false;
    const float rounded = static_cast<float>(near);
    std::uint32_t word;
    std::memcpy(&word, &rounded, 4);
    word |= static_cast<std::uint32_t>(negative) << 31;  // without a branch
    std::memcpy(&value, &word, 4);
    return true;
}

// The same of any number of JSON's grammar.
bool round_decimal(const char* text, const Decimal& decimal, float& value) {
    if (decimal.power > kLargestPower || decimal.power < -kLargestPower || !holds_all_digits(text, decimal)) return false;
    if (decimal.digits == 0) {
        // To Python a whole -0 is an integer, which knows no negative zero.
        value = decimal.negative && !decimal.whole ? -0.0f : 0.0f;
        return true;
    }
    return round_digits(decimal.digits, decimal.power, decimal.negative, value);
}

// Reads a number as programs write most of them: one digit, a point and up to 23 digits behind it, with a comma or the
// end of the array next. Returns where it ends, null for any other.
const char* read_usual(const char* text, const char* end, float& value) {
#if CROSSALIGN_WORDS
    const bool negative = *text == '-';
    text += negative;
    if (end - text < 28 || !is_digit(text[0]) || text[1] != '.') return nullptr;
    const std::uint64_t before = static_cast<unsigned>(text[0] - '0');
    std::uint64_t digits = before, first = 0;
    int count = 0;
    text += 2;
    std::uint64_t word = load_digits(text), other = others(word);
    if (other == 0) {
        first = value_of(word);
        digits = digits * 100000000 + first;
        word = load_digits(text + 8);
        other = others(word);
        count = 8;
        if (other == 0) {
            digits = digits * 100000000 + value_of(word);
            word = load_digits(text + 16);
            other = others(word);
            count = 16;
            if (other == 0) return nullptr;
        }
    }
    add_last(word, other, digits, count);
    text += count;
    // Up to 19 digits fit 64 bits, and more where the first of them are zeros.
    const bool fits = count < kMostDigits || (before == 0 && (count == kMostDigits || first < kWholePowers[27 - count]));
    if (count == 0 || !fits || (*text != ',' && *text != ']') || digits == 0) return nullptr;
    return round_digits(digits, -count, negative, value) ? text : nullptr;
#else
    (void)text, (void)end, (void)value;
    return nullptr;
#endif
}

}  // namespace

extern "C" {

// The numbers of a JSON array of nothing but numbers, each rounded to float64 and then to float32.
//
// text: [length] from '[' to ']'; out: room for `capacity` numbers.
// Returns how many there are; 0 where the text is anything else, has no number, more than `capacity` of them, one that
// is not finite in float32, or none but zeros. Then `out` holds nothing of use.
std::int64_t crossalign_numbers(const char* text, std::int64_t length, float* out, std::int64_t capacity) {
    const char* const end = text + length;
    if (length < 2 || *text++ != '[') return 0;
    std::int64_t count = 0;
    bool any = false;
    while (true) {
        while (text != end && is_space(*text)) ++text;
        if (text == end || count == capacity) return 0;
        float value;
        const char* stop = read_usual(text, end, value);
        if (stop == nullptr) {
            const Decimal decimal = read_decimal(text, end);
            stop = decimal.end;
            if (stop == nullptr) return 0;
            if (!round_decimal(text, decimal, value)) {
                double exact;
                const auto [parsed, error] = std::from_chars(text, stop, exact);
                if (error != std::errc() || parsed != stop) return 0;
                value = static_cast<float>(exact);
                if (!std::isfinite(value)) return 0;
            }
        }
        any = any || value != 0;
        out[count++] = value;
        text = stop;
        while (text != end && is_space(*text)) ++text;
        if (text == end) return 0;
        const char next = *text++;
        if (next == ']') return text == end && any ? count : 0;
        if (next != ',') return 0;
    }
}

}  // extern "C"
