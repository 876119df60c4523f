// The smallest possible test framework: TEST(name) { CHECK(...); CHECK_EQ(a, b); }
#pragma once

#include <chrono>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace kafabric::test {

struct Case {
  std::string name;
  std::function<void()> body;
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

struct Registration {
  Registration(const char* name, std::function<void()> body) { cases().push_back({name, std::move(body)}); }
};

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/** What a test throws that cannot run here, with the reason: it counts as skipped. */
struct Skipped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/** The same where nothing is missing: what this machine's version of a library does not have. It does not count. */
struct LeftOut : Skipped {
  using Skipped::Skipped;
};

/** What a process of its own does for a test; `control` is a socket to the test. See ChildProcess. */
struct Child {
  std::string name;
  std::function<void(int control)> body;
};

inline std::vector<Child>& children() {
  static std::vector<Child> all;
  return all;
}

struct ChildRegistration {
  ChildRegistration(const char* name, std::function<void(int)> body) { children().push_back({name, std::move(body)}); }
};

[[noreturn]] inline void fail(const char* file, int line, const std::string& message) {
  throw Failure(std::string(file) + ":" + std::to_string(line) + ": " + message);
}

template <typename A, typename B>
void checkEqual(const char* file, int line, const char* text, const A& actual, const B& expected) {
  if (actual == expected) return;
  std::ostringstream message;
  message << text << ": got " << actual << ", expected " << expected;
  fail(file, line, message.str());
}

/** Waits for what another thread or process does, a minute at most. */
template <typename Condition>
void waitUntil(const char* file, int line, const char* text, Condition condition) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(4);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) fail(file, line, std::string("in vain waited for ") + text);
    std::this_thread::yield();
  }
}

}  // namespace kafabric::test

#define TEST(name)                                                                  \
  static void test_##name();                                                        \
  static const ::kafabric::test::Registration registration_##name(#name, test_##name); \
  static void test_##name()

#define CHILD(name)                                                                     \
  static void child_##name(int control);                                                \
  static const ::kafabric::test::ChildRegistration childOf_##name(#name, child_##name); \
  static void child_##name([[maybe_unused]] int control)

#define CHECK(condition)                                                   \
  do {                                                                     \
    if (!(condition)) ::kafabric::test::fail(__FILE__, __LINE__, #condition); \
  } while (false)

#define WAIT_UNTIL(condition) \
  ::kafabric::test::waitUntil(__FILE__, __LINE__, #condition, [&] { return static_cast<bool>(condition); })

#define CHECK_EQ(actual, expected) \
  ::kafabric::test::checkEqual(__FILE__, __LINE__, #actual " == " #expected, actual, expected)
