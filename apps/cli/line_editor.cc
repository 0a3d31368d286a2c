#include "apps/cli/line_editor.h"

#include <histedit.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

namespace ferrum {

namespace {

constexpr int kHistoryLines = 1000;

// Makes Ctrl-C and Ctrl-D characters from before the prompt is seen until the line is read. libedit alone does so after
// it has written the prompt: a Ctrl-C in between would be a signal that nobody waits for, and take the typed text with
// it, and a Ctrl-D would be lost.
class KeysAsCharacters {
 public:
  KeysAsCharacters() : active_(tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!active_) return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ISIG | ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  ~KeysAsCharacters() {
    if (active_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  KeysAsCharacters(const KeysAsCharacters&) = delete;
  KeysAsCharacters& operator=(const KeysAsCharacters&) = delete;

 private:
  termios before_{};
  const bool active_;
};

}  // namespace

struct LineEditor::Impl {
  EditLine* editor = nullptr;
  History* history = nullptr;
  std::string history_file;
  std::string prompt;
  bool interrupted = false;

  static Impl& of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return *static_cast<Impl*>(self);
  }
  static char* show_prompt(EditLine* editor) { return of(editor).prompt.data(); }
  // While a line is edited Ctrl-C is a key, not a signal: libedit swallows the first EINTR.
  static unsigned char on_interrupt(EditLine* editor, int) {
    of(editor).interrupted = true;
    return CC_NEWLINE;
  }
};

LineEditor::LineEditor(std::string history_file) : impl_(std::make_unique<Impl>()) {
  impl_->history_file = std::move(history_file);
  impl_->editor = el_init("ferrum", stdin, stdout, stderr);
  impl_->history = history_init();
  HistEvent event;
  history(impl_->history, &event, H_SETSIZE, kHistoryLines);
  history(impl_->history, &event, H_SETUNIQUE, 1);
  EditLine* editor = impl_->editor;
  el_set(editor, EL_CLIENTDATA, impl_.get());
  el_set(editor, EL_PROMPT, &Impl::show_prompt);
  el_set(editor, EL_HIST, history, impl_->history);
  el_set(editor, EL_EDITOR, "emacs");
  // The wide form, because the narrow one copies its two strings and never frees them.
  el_wset(editor, EL_ADDFN, L"ferrum-interrupt", L"end the line without using it", &Impl::on_interrupt);
  el_set(editor, EL_BIND, "^C", "ferrum-interrupt", nullptr);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
  el_source(editor, nullptr);  // the user's ~/.editrc
  if (!impl_->history_file.empty()) history(impl_->history, &event, H_LOAD, impl_->history_file.c_str());
}

LineEditor::~LineEditor() {
  history_end(impl_->history);
  el_end(impl_->editor);
}

LineEditor::Outcome LineEditor::read(const std::string& prompt, std::string& line) {
  impl_->prompt = prompt;
  impl_->interrupted = false;
  int length = 0;
  const KeysAsCharacters keys_as_characters;
  const char* text = el_gets(impl_->editor, &length);
  if (impl_->interrupted) {
    std::fputs("^C\n", stdout);
    return Outcome::kInterrupted;
  }
  if (text == nullptr || length <= 0) return Outcome::kEnd;
  line.assign(text, static_cast<size_t>(length));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  return Outcome::kLine;
}

void LineEditor::remember(const std::string& line) {
  HistEvent event;
  history(impl_->history, &event, H_ENTER, line.c_str());
  if (impl_->history_file.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(impl_->history_file).parent_path(), ignored);
  const mode_t before = umask(S_IRWXG | S_IRWXO);  // what one asks a model is private
  history(impl_->history, &event, H_SAVE, impl_->history_file.c_str());
  umask(before);
}

}  // namespace ferrum
