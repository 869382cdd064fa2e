// Stand-ins for libcurl in statically linked programs.
//
// FlyingFox holds one request handler that uses URLSession. Nothing here calls it, but it brings FoundationNetworking
// into a static link, and that wants libcurl: on every router, with the twenty libraries behind it. These definitions
// and the empty archive in lib/ satisfy the linker; whoever should call one after all ends the program and says so.

#include "CCurlAbsent.h"
#include <stdio.h>
#include <stdlib.h>

#define ABSENT(name)                                                                                                   \
    _Noreturn void name(void) {                                                                                        \
        fputs("this program was linked without libcurl, but " #name " was called\n", stderr);                         \
        abort();                                                                                                       \
    }

ABSENT(curl_easy_cleanup)
ABSENT(curl_easy_getinfo)
ABSENT(curl_easy_init)
ABSENT(curl_easy_pause)
ABSENT(curl_easy_setopt)
ABSENT(curl_easy_strerror)
ABSENT(curl_free)
ABSENT(curl_global_init)
ABSENT(curl_multi_add_handle)
ABSENT(curl_multi_assign)
ABSENT(curl_multi_cleanup)
ABSENT(curl_multi_info_read)
ABSENT(curl_multi_init)
ABSENT(curl_multi_remove_handle)
ABSENT(curl_multi_setopt)
ABSENT(curl_multi_socket_action)
ABSENT(curl_slist_append)
ABSENT(curl_slist_free_all)
ABSENT(curl_url)
ABSENT(curl_url_get)
ABSENT(curl_url_set)
ABSENT(curl_version)
ABSENT(curl_version_info)
