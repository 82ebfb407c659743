#include "ledger_format.h"
