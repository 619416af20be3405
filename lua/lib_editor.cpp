// perilune.native.editor: a line from the terminal, with editing and a history, by libedit, which is looked for when it is wanted: a
// program that links the host needs none. One thread at a time reads, the others may interrupt it.
#include <cerrno>
#include <clocale>
#include <cwchar>
#include <string>
#include <type_traits>

#include <dlfcn.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "library.hpp"
#include "native_modules.hpp"

#if __has_include(<histedit.h>)
#include <histedit.h>

namespace perilune {

namespace {

struct {
  decltype(&::el_init) el_init;
  decltype(&::el_set) el_set;
  decltype(&::el_gets) el_gets;
  decltype(&::el_resize) el_resize;
  decltype(&::el_source) el_source;
  decltype(&::history_init) history_init;
  decltype(&::history) history;
} edit{};

bool load_library() {
  static const bool loaded = [] {
    void* const library = dlopen("libedit.so.2", RTLD_NOW | RTLD_LOCAL);
    const auto find = [library](auto& function, const char* name) {
      function =
          library ? reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name)) : nullptr;
      return function != nullptr;
    };
    return find(edit.el_init, "el_init") && find(edit.el_set, "el_set") && find(edit.el_gets, "el_gets") &&
           find(edit.el_resize, "el_resize") && find(edit.el_source, "el_source") &&
           find(edit.history_init, "history_init") && find(edit.history, "history");
  }();
  return loaded;
}

constexpr int history_lines = 1000;

struct {
  EditLine* line = nullptr;
  History* history = nullptr;
  std::string history_path;
  std::string prompt;
  bool interrupted = false;
  winsize size{};
} editor;  // the reader's

// Written to by whoever interrupts.
int interrupt_event() {
  static const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return event;
}

bool take_interrupt() {
  eventfd_t count = 0;
  return eventfd_read(interrupt_event(), &count) == 0;
}

void follow_size() {
  winsize now{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) != 0 ||
      (now.ws_col == editor.size.ws_col && now.ws_row == editor.size.ws_row))
    return;
  editor.size = now;
  edit.el_resize(editor.line);
}

// A byte of the terminal; 0 at its end, -1 after an interrupt.
int read_byte(char& byte) {
  for (;;) {
    pollfd wanted[] = {{STDIN_FILENO, POLLIN, 0}, {interrupt_event(), POLLIN, 0}};
    if (poll(wanted, 2, -1) < 0 && errno != EINTR) return -1;
    if (wanted[1].revents && take_interrupt()) {
      editor.interrupted = true;
      return -1;
    }
    if (!wanted[0].revents) continue;
    const ssize_t got = read(STDIN_FILENO, &byte, 1);
    if (got >= 0 || errno != EINTR) return static_cast<int>(got);
  }
}

// What libedit calls for each character. Bytes that are none are left out.
int read_character(EditLine*, wchar_t* character) {
  std::mbstate_t state{};
  for (;;) {
    char byte = 0;
    const int got = read_byte(byte);
    if (got <= 0) return got;
    follow_size();
    const std::size_t length = std::mbrtowc(character, &byte, 1, &state);
    if (length == static_cast<std::size_t>(-1)) state = {};
    if (length <= 1) return 1;
  }
}

char* prompt_of(EditLine*) { return editor.prompt.data(); }

void bind_keys() {
  const char* const keys[][2] = {{"^R", "em-inc-search-prev"}, {"\\e[3~", "ed-delete-next-char"},
                                 {"\\e[H", "ed-move-to-beg"},  {"\\e[F", "ed-move-to-end"},
                                 {"\\e[1~", "ed-move-to-beg"}, {"\\e[4~", "ed-move-to-end"},
                                 {"\\e[1;5D", "ed-prev-word"}, {"\\e[1;5C", "em-next-word"}};
  for (const auto& key : keys) edit.el_set(editor.line, EL_BIND, key[0], key[1], nullptr);
}

bool begin(const char* history_path) {
  if (editor.line) return true;
  std::setlocale(LC_CTYPE, "");
  editor.line = edit.el_init("perilune", stdin, stdout, stderr);
  editor.history = edit.history_init();
  if (!editor.line || !editor.history) return false;
  HistEvent event{};
  edit.history(editor.history, &event, H_SETSIZE, history_lines);
  edit.history(editor.history, &event, H_SETUNIQUE, 1);
  if (history_path) edit.history(editor.history, &event, H_LOAD, (editor.history_path = history_path).c_str());
  edit.el_set(editor.line, EL_PROMPT, prompt_of);
  edit.el_set(editor.line, EL_EDITOR, "emacs");
  edit.el_set(editor.line, EL_SIGNAL, 0);
  edit.el_set(editor.line, EL_HIST, edit.history, editor.history);
  edit.el_set(editor.line, EL_GETCFN, read_character);
  bind_keys();
  edit.el_source(editor.line, nullptr);
  return true;
}

void keep(const char* text) {
  HistEvent event{};
  edit.history(editor.history, &event, H_ENTER, text);
  if (!editor.history_path.empty()) edit.history(editor.history, &event, H_SAVE, editor.history_path.c_str());
}

// read(prompt [, path of the history]) -> line; or nil and "interrupted" or "end". To be called by peri.blocking.
reply read_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TSTRING) return bad_argument(v, 1, "a prompt expected", L);
  editor.prompt = lua_tostring(L, 1);
  editor.interrupted = false;
  take_interrupt();
  int count = 0;
  const bool begun = begin(lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : nullptr);
  if (begun) edit.el_set(editor.line, EL_PREP_TERM, 1);  // before the prompt: who sees it may type
  const char* text = begun ? edit.el_gets(editor.line, &count) : nullptr;
  if (!text || count <= 0) {
    lua_pushnil(L);
    lua_pushstring(L, editor.interrupted ? "interrupted" : "end");
    return 2;
  }
  if (text[count - 1] == '\n') --count;
  if (count > 0) keep(text);
  lua_pushlstring(L, text, static_cast<std::size_t>(count));
  return 1;
}

reply usable_body(lua_State* L, vm&) {
  lua_pushboolean(L, load_library());
  return 1;
}

// interrupt(): whoever reads is told.
reply interrupt_body(lua_State*, vm&) {
  eventfd_write(interrupt_event(), 1);
  return 0;
}

}  // namespace

int open_editor(lua_State* L) {
  constexpr library_function functions[] = {{"usable", protect::native<usable_body>},
                                            {"read", protect::native<read_body>},
                                            {"interrupt", protect::native<interrupt_body>}};
  lua_createtable(L, 0, 3);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune

#else

namespace perilune {

namespace {

reply usable_body(lua_State* L, vm&) {
  lua_pushboolean(L, 0);
  return 1;
}

}  // namespace

int open_editor(lua_State* L) {
  constexpr library_function functions[] = {{"usable", protect::native<usable_body>}};
  lua_createtable(L, 0, 1);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune

#endif
