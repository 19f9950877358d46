#include "base/err.h"

#include "base/chk.h"

#define ERR_ROW(name, status, blame, code, word, text)                                             \
	[E_##name] = {status, BLAME_##blame, code, word, text},
static const struct err_row rows[ERR_COUNT] = {ERR_TABLE(ERR_ROW)};
#undef ERR_ROW

const struct err_row *
err_row(enum err e)
{
	CHK((unsigned)e < ERR_COUNT);
	return &rows[e];
}
