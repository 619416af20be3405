-- What `require "perilune"` finds outside of Perilune, where this folder is in package.path. In a host the module is there already.
error("run this with: perilune FILE", 3)
