// What both programs measure with.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <vector>

/** User and system time; `who` as of getrusage. */
inline double cpuSeconds(int who) {
  rusage used;
  getrusage(who, &used);
  auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/** Of at least one. */
inline double medianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}
