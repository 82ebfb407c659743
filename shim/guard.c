#include "guard.h"

BL_TLS struct bl_tls bl_tls;
