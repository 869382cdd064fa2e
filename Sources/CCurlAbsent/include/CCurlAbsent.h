// No declarations: see CurlAbsent.c.
#pragma once
