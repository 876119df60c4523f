// What a client can do to others by TLS alone. Everything else of it is tested with Node's: src/native/net-tls.test.ts.
#include <dlfcn.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <type_traits>
#include <utility>

#include "net/tls.h"
#include "store/descriptor.h"
#include "test/net_server.h"

using namespace kafabric;
using namespace kafabric::test;

namespace {

/** A record of 27 bytes each: a megabyte, which takes the reactor a good part of a second. */
constexpr int kRenewals = 50'000;
constexpr int kNotRequested = 0;  // SSL_KEY_UPDATE_NOT_REQUESTED

struct Time;

/** What of OpenSSL is needed beside what the program has. */
struct More {
  int (*SSL_key_update)(Ssl*, int kind);
  void (*SSL_set0_wbio)(Ssl*, Bio*);
  PrivateKey* (*EVP_PKEY_Q_keygen)(void* library, const char* properties, const char* type, ...);
  Certificate* (*X509_new)();
  Time* (*X509_getm_notBefore)(const Certificate*);
  Time* (*X509_getm_notAfter)(const Certificate*);
  Time* (*X509_gmtime_adj)(Time*, long seconds);
  int (*X509_set_pubkey)(Certificate*, PrivateKey*);
  int (*X509_sign)(Certificate*, PrivateKey*, const DigestKind*);
  int (*PEM_write_bio_X509)(Bio*, const Certificate*);
  int (*PEM_write_bio_PrivateKey)(Bio*, const PrivateKey*, const void* cipher, const void* password, int bytes, void* callback, void* user);

  static More find() {
    void* library = ::dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!library) throw LeftOut("it needs OpenSSL 3");
    More more{};
    auto take = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
      CHECK(function != nullptr);
    };
    take(more.SSL_key_update, "SSL_key_update");
    take(more.SSL_set0_wbio, "SSL_set0_wbio");
    take(more.EVP_PKEY_Q_keygen, "EVP_PKEY_Q_keygen");
    take(more.X509_new, "X509_new");
    take(more.X509_getm_notBefore, "X509_getm_notBefore");
    take(more.X509_getm_notAfter, "X509_getm_notAfter");
    take(more.X509_gmtime_adj, "X509_gmtime_adj");
    take(more.X509_set_pubkey, "X509_set_pubkey");
    take(more.X509_sign, "X509_sign");
    take(more.PEM_write_bio_X509, "PEM_write_bio_X509");
    take(more.PEM_write_bio_PrivateKey, "PEM_write_bio_PrivateKey");
    return more;
  }
};

template <typename Text>
void drain(const OpenSsl& tls, Bio* from, Text& into) {
  char part[65536];
  for (int count; (count = tls.BIO_read(from, part, sizeof part)) > 0;) into.insert(into.end(), part, part + count);
}

std::string textOf(const OpenSsl& tls, Bio* bio) {
  std::string text;
  drain(tls, bio, text);
  tls.BIO_free(bio);
  return text;
}

/** With a certificate that it has issued for itself. */
std::shared_ptr<const TlsServer> makeServer(const OpenSsl& tls, const More& more) {
  PrivateKey* key = more.EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  Certificate* certificate = more.X509_new();
  more.X509_gmtime_adj(more.X509_getm_notBefore(certificate), 0);
  more.X509_gmtime_adj(more.X509_getm_notAfter(certificate), 3600);
  more.X509_set_pubkey(certificate, key);
  CHECK(more.X509_sign(certificate, key, tls.EVP_sha256()) > 0);
  Bio* pem = tls.BIO_new(tls.BIO_s_mem());
  CHECK_EQ(more.PEM_write_bio_X509(pem, certificate), 1);
  TlsSettings settings;
  settings.certificates.push_back(textOf(tls, pem));
  pem = tls.BIO_new(tls.BIO_s_mem());
  CHECK_EQ(more.PEM_write_bio_PrivateKey(pem, key, nullptr, nullptr, 0, nullptr, nullptr), 1);
  settings.key = textOf(tls, pem);
  tls.X509_free(certificate);
  tls.EVP_PKEY_free(key);
  std::string error;
  auto server = TlsServer::make(settings, error);
  CHECK_EQ(error, "");
  return server;
}

/** A client that has greeted. What it says is kept, to be sent as fast as that goes. */
class TlsClient {
 public:
  TlsClient(const OpenSsl& tls, const More& more, uint16_t port)
      : tls_(tls), more_(more), socket_(connectTo(port)), context_(tls.SSL_CTX_new(tls.TLS_method())), ssl_(tls.SSL_new(context_)) {
    tls.SSL_set_fd(ssl_, socket_.fd);
    tls.SSL_set_connect_state(ssl_);
    CHECK_EQ(tls.SSL_do_handshake(ssl_), 1);
    out_ = tls.BIO_new(tls.BIO_s_mem());
    more.SSL_set0_wbio(ssl_, out_);
  }
  ~TlsClient() {
    tls_.SSL_free(ssl_);
    tls_.SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  int fd() const { return socket_.fd; }
  void renewKeys() {
    CHECK_EQ(more_.SSL_key_update(ssl_, kNotRequested), 1);
    CHECK_EQ(tls_.SSL_do_handshake(ssl_), 1);
  }
  void say(const std::vector<uint8_t>& bytes) {
    CHECK_EQ(tls_.SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())), static_cast<int>(bytes.size()));
  }
  /** `sent`: how many bytes of it have been sent. */
  void sendAll(std::atomic<size_t>& sent) {
    std::vector<uint8_t> bytes;
    drain(tls_, out_, bytes);
    while (sent < bytes.size()) {
      ssize_t count = ::send(fd(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      CHECK(count > 0);
      sent += static_cast<size_t>(count);
    }
  }

 private:
  static int connectTo(uint16_t port) {
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  const OpenSsl& tls_;
  const More& more_;
  Descriptor socket_;
  SslContext* context_;
  Ssl* ssl_;
  Bio* out_ = nullptr;  // the session's
};

const OpenSsl& library() {
  std::string error;
  const OpenSsl* tls = OpenSsl::get(error);
  if (!tls) throw LeftOut(error);
  return *tls;
}

}  // namespace

TEST(net_serves_others_beside_a_client_that_renews_its_keys_without_end) {
  const OpenSsl& tls = library();
  const More more = More::find();
  Server server(options(1));
  server.start();
  TlsClient client(tls, more, server.net().listen("127.0.0.1", 0, makeServer(tls, more)).port);
  for (int i = 0; i < kRenewals; ++i) client.renewKeys();
  client.say(frame(1, 1));
  Client other(server.port);
  std::atomic<size_t> sent{0};
  client.sendAll(sent);
  // Until the frame is answered, which is behind all that.
  size_t answered = 0;
  for (pollfd last{client.fd(), POLLIN, 0}; ::poll(&last, 1, 0) == 0; ++answered) {
    CHECK(other.send(frame(1, 1)));
    CHECK_EQ(other.read().size(), 1u);
  }
  CHECK(answered > 3);
}

TEST(net_reads_of_a_client_with_tls_no_more_in_a_turn_the_longer_it_sends) {
  constexpr size_t kFrameBytes = 100'000;
  constexpr size_t kFrames = 240;
  constexpr size_t kAhead = 1 << 20;
  const OpenSsl& tls = library();
  const More more = More::find();
  std::atomic<size_t> sent{0};
  std::atomic<size_t> checked{0};
  size_t inTurn = 0;
  std::atomic<size_t> most{0};
  Options settings = options(1);
  settings.maxRequestsPerConnection = kFrames + 1;
  settings.checkFrame = [&](const uint8_t*, size_t, const std::vector<FramePart>&) -> std::shared_ptr<void> {
    ++inTurn;
    size_t wanted = std::min(++checked * kFrameBytes + kAhead, kFrames * kFrameBytes);
    // As of a client that is at least as fast.
    for (int i = 0; i < 20 && sent < wanted; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return std::make_shared<int>(0);
  };
  Arena arena(64 << 20);
  // Called at the end of a turn.
  Net net(settings, arena, [&] { most = std::max(most.load(), std::exchange(inTurn, 0)); });
  TlsClient client(tls, more, net.listen("127.0.0.1", 0, makeServer(tls, more)).port);
  for (size_t i = 0; i < kFrames; ++i) client.say(frame(kFrameBytes, 1));
  client.sendAll(sent);
  WAIT_UNTIL(checked == kFrames);
  net.stop();
  CHECK(most <= 30);
}
