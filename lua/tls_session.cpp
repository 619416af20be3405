// One connection of TLS, in memory. See tls_session.hpp.
#include "tls_session.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>

#include <perilune/net.hpp>

namespace perilune::tls {

session::session(std::shared_ptr<const context> of, std::string peer)
    : context_(std::move(of)),
      library_(context_->library()),
      peer_(std::move(peer)),
      ssl_(library_.SSL_new(context_->get())),
      incoming_(library_.BIO_new(library_.BIO_s_mem())),
      outgoing_(library_.BIO_new(library_.BIO_s_mem())) {
  if (!ssl_ || !incoming_ || !outgoing_) throw std::bad_alloc();
  library_.SSL_set_bio(ssl_, incoming_, outgoing_);
  if (context_->how().server)
    library_.SSL_set_accept_state(ssl_);
  else
    library_.SSL_set_connect_state(ssl_);
  if (!context_->how().server && !peer_.empty()) expect_peer();
}

// A name also says to a server of many names which one is meant.
void session::expect_peer() {
  if (net::is_numeric(peer_)) {
    library_.X509_VERIFY_PARAM_set1_ip_asc(library_.SSL_get0_param(ssl_), peer_.c_str());
  } else {
    library_.SSL_set1_host(ssl_, peer_.c_str());
    library_.SSL_ctrl(ssl_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, peer_.data());
  }
}

session::~session() { library_.SSL_free(ssl_); }

// A BIO in memory takes whatever it is given.
void session::feed(std::string_view arrived) {
  library_.ERR_clear_error();
  while (!arrived.empty()) {
    const int piece = static_cast<int>(std::min<std::size_t>(arrived.size(), INT_MAX));
    if (library_.BIO_write(incoming_, arrived.data(), piece) != piece) throw std::bad_alloc();
    arrived.remove_prefix(static_cast<std::size_t>(piece));
  }
}

std::string session::take_output() {
  std::string bytes(static_cast<std::size_t>(library_.BIO_ctrl(outgoing_, BIO_CTRL_PENDING, 0, nullptr)), '\0');
  if (!bytes.empty()) library_.BIO_read(outgoing_, bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

progress session::shake_hands(std::string_view arrived) {
  feed(arrived);
  const int done = library_.SSL_do_handshake(ssl_);
  if (done == 1) return progress::done;
  const int why = library_.SSL_get_error(ssl_, done);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return progress::wants_bytes;
  problem_ = refusal("handshake");
  return progress::failed;
}

stream_layer::decoded session::decode(std::string_view arrived) {
  feed(arrived);
  decoded got;
  char piece[16384];
  int read = 0;
  while ((read = library_.SSL_read(ssl_, piece, sizeof piece)) > 0)
    got.bytes.append(piece, static_cast<std::size_t>(read));
  const int why = library_.SSL_get_error(ssl_, read);
  got.ended = why == SSL_ERROR_ZERO_RETURN;
  if (!got.ended && why != SSL_ERROR_WANT_READ) got.problem = refusal("read");
  got.answer = take_output();
  return got;
}

result<std::string> session::encode(std::string_view bytes) {
  library_.ERR_clear_error();
  while (!bytes.empty()) {
    const int written =
        library_.SSL_write(ssl_, bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 24)));
    if (written <= 0) return refusal("write");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return take_output();
}

std::string session::farewell() {
  library_.ERR_clear_error();
  library_.SSL_shutdown(ssl_);
  return take_output();
}

// Who cuts a connection off must not pass for the one who ended it.
std::optional<error> session::cut_off() {
  error problem = error::system("TLS read" + (peer_.empty() ? "" : " from " + peer_), ECONNRESET);
  problem.message += " (the connection was cut off, TLS was not ended)";
  return problem;
}

std::string session::version() const { return library_.SSL_get_version(ssl_); }
std::string session::cipher() const { return library_.SSL_CIPHER_get_name(library_.SSL_get_current_cipher(ssl_)); }

std::string session::alpn() const {
  const unsigned char* chosen = nullptr;
  unsigned int size = 0;
  library_.SSL_get0_alpn_selected(ssl_, &chosen, &size);
  return {reinterpret_cast<const char*>(chosen), size};
}

std::string session::subject() const {
  X509* shown = library_.SSL_get1_peer_certificate(ssl_);
  if (!shown) return {};
  char text[512];
  library_.X509_NAME_oneline(library_.X509_get_subject_name(shown), text, sizeof text);
  library_.X509_free(shown);
  return text;
}

}  // namespace perilune::tls
