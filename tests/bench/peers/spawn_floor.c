// The floor of running processes: posix_spawn and waitpid, a number of them side by side, nothing else.
// usage: spawn_floor COUNT PARALLEL PROGRAM
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char** environ;

int main(int argc, char** argv) {
  if (argc != 4) return fputs("usage: spawn_floor COUNT PARALLEL PROGRAM\n", stderr), 2;
  int left = atoi(argv[1]);
  int running = 0;
  char* const words[] = {argv[3], NULL};
  while (left > 0 || running > 0) {
    if (left > 0 && running < atoi(argv[2])) {
      pid_t pid;
      if (posix_spawn(&pid, argv[3], NULL, NULL, words, environ) != 0) return perror(argv[3]), 1;
      --left;
      ++running;
    } else if (wait(NULL) > 0) {
      --running;
    }
  }
}
