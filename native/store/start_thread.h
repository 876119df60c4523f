// How the addon's threads begin.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <thread>
#include <utility>

namespace kafabric {

/**
 * Starts a thread that takes no signals: they are Node's business, whose own threads take them. What the thread itself is at fault for is another
 * matter: SIGBUS, where it copies with a guard. `name`: at most 15 characters. Throws std::system_error when there can be no more threads.
 */
template <typename Body>
std::thread startThread(const char* name, Body body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  try {
    thread = std::thread(std::move(body));
  } catch (const std::system_error&) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread.native_handle(), name);
  return thread;
}

}  // namespace kafabric
