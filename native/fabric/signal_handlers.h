// Keeps a library from replacing the process's signal handlers.
#pragma once

#include <csignal>

#include <array>

namespace kafabric::fabric {

/** Puts the signal handlers back, as they were when it was made, when it goes. */
class SignalHandlers {
 public:
  SignalHandlers() {
    for (int signal = 1; signal < kSignals; ++signal) known_[at(signal)] = sigaction(signal, nullptr, &saved_[at(signal)]) == 0;
  }
  ~SignalHandlers() {
    for (int signal = 1; signal < kSignals; ++signal) {
      struct sigaction now {};
      if (!known_[at(signal)] || sigaction(signal, nullptr, &now) != 0) continue;
      const struct sigaction& before = saved_[at(signal)];
      if (now.sa_handler != before.sa_handler || now.sa_flags != before.sa_flags) sigaction(signal, &before, nullptr);
    }
  }
  SignalHandlers(const SignalHandlers&) = delete;
  SignalHandlers& operator=(const SignalHandlers&) = delete;

 private:
  static constexpr int kSignals = 32;  // the real-time ones above are nobody's
  static size_t at(int signal) { return static_cast<size_t>(signal); }

  std::array<struct sigaction, kSignals> saved_{};
  std::array<bool, kSignals> known_{};
};

}  // namespace kafabric::fabric
