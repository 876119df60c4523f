// Arithmetic with CRC-32C's polynomial, in its reflected notation: bit 31 is the coefficient of x^0.
#pragma once

#include <cstdint>

namespace kafabric {

inline constexpr uint32_t kCrc32cPolynomial = 0x82f63b78;

/** The product of two polynomials modulo the CRC's. */
constexpr uint32_t multiplyCrc32c(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (int bit = 31; bit >= 0; --bit) {
    product ^= b & (0u - (a >> bit & 1));
    b = (b >> 1) ^ (kCrc32cPolynomial & (0u - (b & 1)));
  }
  return product;
}

/** x to the power of `exponent`, modulo the CRC's polynomial. */
constexpr uint32_t powerOfX(uint32_t exponent) {
  uint32_t power = 0x80000000;
  uint32_t square = 0x40000000;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) power = multiplyCrc32c(power, square);
    square = multiplyCrc32c(square, square);
  }
  return power;
}

}  // namespace kafabric
