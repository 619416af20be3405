// A tool with a loop of its own: an indexer of text files that lives on the program's io_context, stores in SQLite on a thread of its
// own, asks plugins that may do anything, shows its progress, and ends cleanly at the first ^C.
//
//   indexer DATABASE FOLDER FOLDER-OF-PLUGINS PLUGIN...
//
// Everything that blocks is an asynchronous function of the scripts': they wait, the loop does not.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <signal.h>
#include <unistd.h>

#include <sqlite3.h>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>

#include <perilune/asio.hpp>
#include <perilune/host.hpp>

using perilune::completion;
using perilune::value;
using perilune::value_list;

namespace {

// One thread that does one thing after the other.
class work_thread {
 public:
  work_thread() : thread_([this] { work(); }) {}
  ~work_thread() {
    post(nullptr);
    thread_.join();
  }
  void post(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    some_.notify_one();
  }

 private:
  void work() {
    for (;;) {
      std::unique_lock lock(mutex_);
      some_.wait(lock, [this] { return !jobs_.empty(); });
      const auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      if (!job) return;
      job();
    }
  }
  std::mutex mutex_;
  std::condition_variable some_;
  std::deque<std::function<void()>> jobs_;
  std::thread thread_;
};

// On the thread of the database only, but for its making.
class database {
 public:
  explicit database(const char* path) { open_ = sqlite3_open(path, &db_) == SQLITE_OK; }
  // nullptr, or why it cannot be used.
  const char* problem() const noexcept { return open_ ? nullptr : sqlite3_errmsg(db_); }
  ~database() { sqlite3_close(db_); }
  database(const database&) = delete;
  database& operator=(const database&) = delete;

  // Runs a statement with its parameters; resolves with the rows.
  void run(const value_list& words, const completion& done) {
    sqlite3_stmt* statement = nullptr;
    if (done.cancelled()) return;
    if (sqlite3_prepare_v2(db_, words[0].text().c_str(), -1, &statement, nullptr) != SQLITE_OK) {
      done.fail(sqlite3_errmsg(db_));
      return;
    }
    for (std::size_t i = 1; i < words.size(); ++i)
      sqlite3_bind_text(statement, static_cast<int>(i), words[i].text().c_str(), -1, SQLITE_TRANSIENT);
    value_list rows;
    int step = SQLITE_ROW;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) rows.emplace_back(row_of(statement));
    const bool good = step == SQLITE_DONE;
    good ? done.resolve(std::move(rows)) : done.fail(sqlite3_errmsg(db_));
    sqlite3_finalize(statement);
  }

 private:
  static value_list row_of(sqlite3_stmt* statement) {
    value_list row;
    for (int i = 0; i < sqlite3_column_count(statement); ++i) {
      if (sqlite3_column_type(statement, i) == SQLITE_INTEGER)
        row.emplace_back(static_cast<std::int64_t>(sqlite3_column_int64(statement, i)));
      else if (const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, i)))
        row.emplace_back(text);
      else
        row.emplace_back();
    }
    return row;
  }
  sqlite3* db_ = nullptr;
  bool open_ = false;
};

void list_below(const std::string& folder, const completion& done) {
  std::vector<std::string> paths;
  std::error_code failed, ignored;
  std::filesystem::recursive_directory_iterator at(folder, std::filesystem::directory_options::skip_permission_denied,
                                                   failed);
  for (; !failed && at != std::filesystem::recursive_directory_iterator(); at.increment(failed))
    if (at->is_regular_file(ignored)) paths.push_back(at->path().string());
  if (failed) return static_cast<void>(done.fail("cannot read " + folder + ": " + failed.message()));
  std::sort(paths.begin(), paths.end());
  done.resolve(value_list(paths.begin(), paths.end()));
}

void read_whole(const std::string& path, const completion& done) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    done.fail("cannot read " + path);
    return;
  }
  done.resolve(std::string(std::istreambuf_iterator<char>(in), {}));
}

void show_progress(int done, int all) {
  std::printf("%s%d of %d files", isatty(STDOUT_FILENO) ? "\r" : "", done, all);
  if (!isatty(STDOUT_FILENO) || done == all) std::putchar('\n');
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return std::fputs("usage: indexer DATABASE FOLDER PLUGINS PLUGIN...\n", stderr), 2;
  asio::io_context io;
  database db(argv[1]);
  if (db.problem()) return std::fprintf(stderr, "indexer: %s: %s\n", argv[1], db.problem()), 1;
  work_thread storage, reader;
  perilune::host host{perilune::join(io.get_executor())};

  host.define("progress", show_progress);
  host.define("report", [](std::string line) { std::printf("%s\n", line.c_str()); });
  host.define_async("db.exec", [&](perilune::args a, completion done) {
    storage.post([&db, words = a.all(), done] { db.run(words, done); });
  });
  host.define_async("files.read", [&](std::string path, completion done) {
    reader.post([path = std::move(path), done] { read_whole(path, done); });
  });
  host.define_async("files.list", [&](std::string folder, completion done) {
    reader.post([folder = std::move(folder), done] { list_below(folder, done); });
  });

  const auto script = host.load_file(INDEXER_SCRIPT);
  if (!script) return std::fprintf(stderr, "%s\n", script.error().message.c_str()), 1;
  const value_list plugins(argv + 4, argv + argc);
  const auto task =
      host.spawn(*script, {perilune::table({{"files", argv[2]}, {"plugins", argv[3]}}), plugins}, "index");

  asio::signal_set interrupts(io, SIGINT);
  interrupts.async_wait([&](const asio::error_code& failed, int) {
    if (!failed) task.cancel("interrupted");
    interrupts.clear();  // the next one ends the program as ever
  });
  while (!task.done() && io.run_one() > 0) {
  }
  interrupts.cancel();

  const auto end = task.outcome();
  if (end.cancelled()) return std::printf("\ninterrupted: the index is as it was before\n"), 130;
  if (!end.returned()) {
    const std::string* said = end.error().raised.string();  // of ours, or else a mistake in the script, with its place
    return std::fprintf(stderr, "indexer: %s\n", said ? said->c_str() : end.error().report().c_str()), 1;
  }
  std::printf("indexed %s files, %s entries\n", end.results()[0].text().c_str(), end.results()[1].text().c_str());
  return 0;
}
