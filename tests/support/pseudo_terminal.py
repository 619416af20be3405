# The program under test at a pseudo-terminal, for tests that look at its bytes rather than at a screen (screen.sh has one).
# Of its own folder: PYTHONPATH is set by cli.sh.
import os
import pty


class Session:
    def __init__(self, *words):
        self.seen = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execv(os.environ["PERILUNE"], ["perilune", *words])

    # Reads what has come; False when nothing will.
    def read(self):
        try:
            block = os.read(self.terminal, 4096)
        except OSError:
            return False
        self.seen += block
        return bool(block)

    # Reads up to a text, and forgets what stood before its end.
    def until(self, text):
        while text not in self.seen:
            assert self.read(), (text, self.seen)
        self.seen = self.seen.split(text, 1)[1]

    def type(self, text):
        os.write(self.terminal, text.encode())

    def hang_up(self):
        os.close(self.terminal)

    # Its exit status, as a shell has it.
    def end(self):
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return status if status >= 0 else 128 - status
