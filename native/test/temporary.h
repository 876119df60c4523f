// Directories for a test's files.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <string>

namespace kafabric::test {

/**
 * Makes a directory, which the caller removes. Of a name that says whose it is and does not begin as what gateways, suites and benchmarks leave:
 * who clears up after these by a pattern must not find it. Throws runtime_error.
 */
inline std::string makeDirectory(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
  std::string name = (parent / ("native-test-" + std::to_string(::getpid()) + "-XXXXXX")).string();
  if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp " + name);
  return name;
}

}  // namespace kafabric::test
