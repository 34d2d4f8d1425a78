/* SPDX-License-Identifier: MIT
 *
 * How long to wait for a lock whose holder may be stopped. */
#ifndef CM_WAITS_H
#define CM_WAITS_H

#include <stdint.h>

#define CM_WAIT_COLLECT_NS UINT64_C(20000000) /* inside a pause: then all is dirty */
#define CM_WAIT_CALL_NS UINT64_C(2000000000)  /* elsewhere: then -EBUSY */

#endif
