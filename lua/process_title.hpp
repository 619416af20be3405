// What the system shows as the command line of this program, to everybody on the machine (ps, /proc): the words that it was started
// with, in the memory where the system looks for them. Read and replaced on the thread of `main` or of the VM, one at a time.
#pragma once

#include <string>
#include <vector>

namespace perilune::process_title {

// Where the words are. Without this call there is no title: `words` is empty, `show` does nothing.
void remember(int count, char** words);

const std::vector<std::string>& words();

// As far as there is room: the words that the program was started with had so much, and no more.
void show(const std::vector<std::string>& words);

}  // namespace perilune::process_title
