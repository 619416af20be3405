// All of synchronisation: what holds tasks back until others are done.
#pragma once

#include <perilune/barrier.hpp>
#include <perilune/mutex.hpp>
#include <perilune/notify.hpp>
#include <perilune/once.hpp>
#include <perilune/rwlock.hpp>
#include <perilune/semaphore.hpp>
#include <perilune/wait_group.hpp>
