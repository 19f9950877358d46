/*
 * A certificate authority for tests, and files made of it. Nobody trusts it; its keys are public.
 *
 * Root (P-256) -> Intermediate -> leaves for api.test, *.wild.test, 127.0.0.1 and ::1: a good one, one
 * that expired in 2002, one not valid before 2100, a self-signed one, and a good one of RSA 2048.
 * NUL Root -> leaves whose name begins with api.test, then has a NUL, then goes on to another domain.
 */
#ifndef TESTS_UNIT_PKI_H
#define TESTS_UNIT_PKI_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/chk.h"
#include "config/config.h"

/* clang-format off */
#define PEM_ROOT \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIBkDCCATWgAwIBAgIUXjlE963pK3sk5deShtJxSdBEefgwCgYIKoZIzj0EAwIw\n" \
	"FDESMBAGA1UEAwwJVGVzdCBSb290MCAXDTI2MTEyMjIxMjgyMloYDzIxMjYxMDI5\n" \
	"MjEyODIyWjAUMRIwEAYDVQQDDAlUZXN0IFJvb3QwWTATBgcqhkjOPQIBBggqhkjO\n" \
	"PQMBBwNCAASLBpgSU+rBadSaIdUOek2SGM7m07SXYl17oFscvzgF3O/EosNEhzTL\n" \
	"6V8ccLwMHBuS8TI38rW+3hYm0wdavAAro2MwYTAdBgNVHQ4EFgQUwJkskxAi3RGA\n" \
	"XNw2b7u0jllCIjcwHwYDVR0jBBgwFoAUwJkskxAi3RGAXNw2b7u0jllCIjcwDwYD\n" \
	"VR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAgQwCgYIKoZIzj0EAwIDSQAwRgIh\n" \
	"AJnyuMOlN3Cz0I9nycCOkkymSNQC0RfOx91teWtFEyvaAiEA+qD83cd4ls1/am8Z\n" \
	"XmA13ePU/tDS4OG7PthEHkPvF1Y=\n" \
	"-----END CERTIFICATE-----\n"
#define PEM_OTHER_ROOT \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIBkTCCATegAwIBAgIUEKu2X0YbcGXamjy1C3gc99DsNaowCgYIKoZIzj0EAwIw\n" \
	"FTETMBEGA1UEAwwKT3RoZXIgUm9vdDAgFw0yNjExMjIyMTI4MjJaGA8yMTI2MTAy\n" \
	"OTIxMjgyMlowFTETMBEGA1UEAwwKT3RoZXIgUm9vdDBZMBMGByqGSM49AgEGCCqG\n" \
	"SM49AwEHA0IABEMUXyojotRrxFzgo226kDS9ilSVDmaWIuUUErdPYflcouEufHM1\n" \
	"1Tk/hyeoPfoAXW5WumiLv79W7+qd3izI34GjYzBhMB0GA1UdDgQWBBSJmm8S849w\n" \
	"jn/ig5BWfhPxfH1jbTAfBgNVHSMEGDAWgBSJmm8S849wjn/ig5BWfhPxfH1jbTAP\n" \
	"BgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwICBDAKBggqhkjOPQQDAgNIADBF\n" \
	"AiAwBzUbSQRPr7JqXUsET1YKSRtxPwJki0E+lkWuOWrXjAIhAIvUQ2gvfM6fG19F\n" \
	"mRnqSpqtVj/++tD5x46FdHU6pCLw\n" \
	"-----END CERTIFICATE-----\n"
#define PEM_INTERMEDIATE \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIBmzCCAUCgAwIBAgIUB7vcqO5ooAeT+xIBLUHl0lFpN6kwCgYIKoZIzj0EAwIw\n" \
	"FDESMBAGA1UEAwwJVGVzdCBSb290MCAXDTIwMDEwMTAwMDAwMFoYDzIxMTkxMjMx\n" \
	"MjM1OTU5WjAcMRowGAYDVQQDDBFUZXN0IEludGVybWVkaWF0ZTBZMBMGByqGSM49\n" \
	"AgEGCCqGSM49AwEHA0IABNhPzmxj/MqHwO5SZ9Y6tVWgJ+NGjGGOr3K4hQA7mfol\n" \
	"2NDucAWk8OSkwkg4x48DFWGo6zUtQvEQbYvfjoWnyWSjZjBkMBIGA1UdEwEB/wQI\n" \
	"MAYBAf8CAQAwDgYDVR0PAQH/BAQDAgIEMB0GA1UdDgQWBBR5DRg6wqKGCOJxyJSw\n" \
	"UaRr3DUs6DAfBgNVHSMEGDAWgBTAmSyTECLdEYBc3DZvu7SOWUIiNzAKBggqhkjO\n" \
	"PQQDAgNJADBGAiEAo5lCx9MubHBHKf7fv/ExvjDw5mmrBHm7NoUThE0In7sCIQCP\n" \
	"sdoayhAtAVFEsWD38pkQTczThn+0TQpH6vk7n3Dogw==\n" \
	"-----END CERTIFICATE-----\n"
#define PEM_LEAF \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIB0jCCAXegAwIBAgIUQu6g6kqU/zr9IFsWxFCwhXeT9QkwCgYIKoZIzj0EAwIw\n" \
	"HDEaMBgGA1UEAwwRVGVzdCBJbnRlcm1lZGlhdGUwIBcNMjAwMTAxMDAwMDAwWhgP\n" \
	"MjExOTEyMzEyMzU5NTlaMBMxETAPBgNVBAMMCGFwaS50ZXN0MFkwEwYHKoZIzj0C\n" \
	"AQYIKoZIzj0DAQcDQgAEUretXaqGscBTwnSc5k5/v18cWp+mk996/NOoMxQoATXe\n" \
	"rMP5S+KkKCca+rfucPfq1KY0CI1jM98OKluzPvE4IaOBnTCBmjAJBgNVHRMEAjAA\n" \
	"MBMGA1UdJQQMMAoGCCsGAQUFBwMBMDgGA1UdEQQxMC+CCGFwaS50ZXN0ggsqLndp\n" \
	"bGQudGVzdIcEfwAAAYcQAAAAAAAAAAAAAAAAAAAAATAdBgNVHQ4EFgQUEXeL65Oi\n" \
	"UlqewsXv7l+u58YTO5IwHwYDVR0jBBgwFoAUeQ0YOsKihgjicciUsFGka9w1LOgw\n" \
	"CgYIKoZIzj0EAwIDSQAwRgIhAKPch6+vGDNEhDCFeK4BTLsAtjKZoyyULCvPn+ry\n" \
	"Dqm0AiEAr0HzUhL0joyA9hsweTeZ8qmx0+/g+7Pe6wUIDs2PbHw=\n" \
	"-----END CERTIFICATE-----\n"
#define PEM_LEAF_EXPIRED \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIBzzCCAXWgAwIBAgIUeo4s+GgGZ2V85r1kiIKrOLrDleIwCgYIKoZIzj0EAwIw\n" \
	"HDEaMBgGA1UEAwwRVGVzdCBJbnRlcm1lZGlhdGUwHhcNMDEwMTAxMDAwMDAwWhcN\n" \
	"MDIwMjAzMDAwMDAwWjATMREwDwYDVQQDDAhhcGkudGVzdDBZMBMGByqGSM49AgEG\n" \
	"CCqGSM49AwEHA0IABFK3rV2qhrHAU8J0nOZOf79fHFqfppPfevzTqDMUKAE13qzD\n" \
	"+UvipCgnGvq37nD36tSmNAiNYzPfDipbsz7xOCGjgZ0wgZowCQYDVR0TBAIwADAT\n" \
	"BgNVHSUEDDAKBggrBgEFBQcDATA4BgNVHREEMTAvgghhcGkudGVzdIILKi53aWxk\n" \
	"LnRlc3SHBH8AAAGHEAAAAAAAAAAAAAAAAAAAAAEwHQYDVR0OBBYEFBF3i+uTolJa\n" \
	"nsLF7+5frufGEzuSMB8GA1UdIwQYMBaAFHkNGDrCooYI4nHIlLBRpGvcNSzoMAoG\n" \
	"CCqGSM49BAMCA0gAMEUCIFY1yP989Pn9Y7LzL0R07o3TwRXj5fIx6ZYQJAo7Sgyh\n" \
	"AiEArm4bjdxl9O0/9m+s4a0Go0qOcRH6FIP5ePkc+g9dKGE=\n" \
	"-----END CERTIFICATE-----\n"
#define PEM_LEAF_FUTURE \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIB0zCCAXmgAwIBAgIUeLQrPu0xkYwXH6jFjtEYbVGUoIcwCgYIKoZIzj0EAwIw\n" \
	"HDEaMBgGA1UEAwwRVGVzdCBJbnRlcm1lZGlhdGUwIhgPMjEwMDAxMDEwMDAwMDBa\n" \
	"GA8yMTE5MTIzMTIzNTk1OVowEzERMA8GA1UEAwwIYXBpLnRlc3QwWTATBgcqhkjO\n" \
	"PQIBBggqhkjOPQMBBwNCAARSt61dqoaxwFPCdJzmTn+/Xxxan6aT33r806gzFCgB\n" \
	"Nd6sw/lL4qQoJxr6t+5w9+rUpjQIjWMz3w4qW7M+8Tgho4GdMIGaMAkGA1UdEwQC\n" \
	"MAAwEwYDVR0lBAwwCgYIKwYBBQUHAwEwOAYDVR0RBDEwL4IIYXBpLnRlc3SCCyou\n" \
	"d2lsZC50ZXN0hwR/AAABhxAAAAAAAAAAAAAAAAAAAAABMB0GA1UdDgQWBBQRd4vr\n" \
	"k6JSWp7Cxe/uX67nxhM7kjAfBgNVHSMEGDAWgBR5DRg6wqKGCOJxyJSwUaRr3DUs\n" \
	"6DAKBggqhkjOPQQDAgNIADBFAiBv1MjMqz4goIO8rksB9HWftXl5ov28V/lg7CR6\n" \
	"eXQ0FAIhALnU+U7JhzC280rRNqmoGoMkfd/PvR/xK2IYW90sRa3v\n" \
	"-----END CERTIFICATE-----\n"
#define PEM_LEAF_SELF_SIGNED \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIBuTCCAV+gAwIBAgIUeGaIrO9/a4vdSoWLp7NH66y+ujAwCgYIKoZIzj0EAwIw\n" \
	"EzERMA8GA1UEAwwIYXBpLnRlc3QwIBcNMjYxMTIyMjEyODIyWhgPMjEyNjEwMjky\n" \
	"MTI4MjJaMBMxETAPBgNVBAMMCGFwaS50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0D\n" \
	"AQcDQgAEUretXaqGscBTwnSc5k5/v18cWp+mk996/NOoMxQoATXerMP5S+KkKCca\n" \
	"+rfucPfq1KY0CI1jM98OKluzPvE4IaOBjjCBizAdBgNVHQ4EFgQUEXeL65OiUlqe\n" \
	"wsXv7l+u58YTO5IwHwYDVR0jBBgwFoAUEXeL65OiUlqewsXv7l+u58YTO5IwDwYD\n" \
	"VR0TAQH/BAUwAwEB/zA4BgNVHREEMTAvgghhcGkudGVzdIILKi53aWxkLnRlc3SH\n" \
	"BH8AAAGHEAAAAAAAAAAAAAAAAAAAAAEwCgYIKoZIzj0EAwIDSAAwRQIhAJmqS/yP\n" \
	"UAFnAnbXGb0Ha9UmLCI9S3Aobq6IHtQDHdDdAiAbWJ5fJvvACWosibXt7gsiQB6S\n" \
	"xzQ/awrEtOT594H+uw==\n" \
	"-----END CERTIFICATE-----\n"
#define PEM_LEAF_KEY \
	"-----BEGIN PRIVATE KEY-----\n" \
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgk5oYAYw3iQ8bY9Pp\n" \
	"VErJeejO2INME91RpqXm8o/NS56hRANCAARSt61dqoaxwFPCdJzmTn+/Xxxan6aT\n" \
	"33r806gzFCgBNd6sw/lL4qQoJxr6t+5w9+rUpjQIjWMz3w4qW7M+8Tgh\n" \
	"-----END PRIVATE KEY-----\n"
#define PEM_NUL_ROOT \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIBjjCCATOgAwIBAgIUctRWnj+EH0qeoLwtYLbvskyLJTgwCgYIKoZIzj0EAwIw\n" \
	"EzERMA8GA1UEAwwITlVMIFJvb3QwIBcNMjYxMTIzMDAyMTE5WhgPMjEyNjEwMzAw\n" \
	"MDIxMTlaMBMxETAPBgNVBAMMCE5VTCBSb290MFkwEwYHKoZIzj0CAQYIKoZIzj0D\n" \
	"AQcDQgAELrvt0q8lEH0uZGZWTJw2Hmgf0fm2z56+ZAJ29UK1J8PnMYEBCRMgi0Gp\n" \
	"DtFyytvmkuUBwxBSTwniODVrwOwX4KNjMGEwHQYDVR0OBBYEFKvmGVgF8FR7gJBU\n" \
	"QpC+zswPjGwGMB8GA1UdIwQYMBaAFKvmGVgF8FR7gJBUQpC+zswPjGwGMA8GA1Ud\n" \
	"EwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgIEMAoGCCqGSM49BAMCA0kAMEYCIQC3\n" \
	"b3X+Sj/ZTpOmBDaiT1RDHprusDY07uFTZdy6eEEB8AIhAMg+8PYoGsabVPtO2vCG\n" \
	"r6nJTfbIOKnVSYxmxyHHuDmW\n" \
	"-----END CERTIFICATE-----\n"
#define PEM_LEAF_NUL_SAN \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIBrzCCAVWgAwIBAgIULAFB/NRJOLKGZk/nuslW913xmXMwCgYIKoZIzj0EAwIw\n" \
	"EzERMA8GA1UEAwwITlVMIFJvb3QwIBcNMjYxMTIzMDAyMTE5WhgPMjEyNjEwMzAw\n" \
	"MDIxMTlaMBExDzANBgNVBAMMBnVudXNlZDBZMBMGByqGSM49AgEGCCqGSM49AwEH\n" \
	"A0IABFK3rV2qhrHAU8J0nOZOf79fHFqfppPfevzTqDMUKAE13qzD+UvipCgnGvq3\n" \
	"7nD36tSmNAiNYzPfDipbsz7xOCGjgYYwgYMwCQYDVR0TBAIwADATBgNVHSUEDDAK\n" \
	"BggrBgEFBQcDATAhBgNVHREEGjAYghZhcGkudGVzdAAuZXZpbC5leGFtcGxlMB0G\n" \
	"A1UdDgQWBBQRd4vrk6JSWp7Cxe/uX67nxhM7kjAfBgNVHSMEGDAWgBSr5hlYBfBU\n" \
	"e4CQVEKQvs7MD4xsBjAKBggqhkjOPQQDAgNIADBFAiEA6oM/45oNLRw0BB52kZZt\n" \
	"1uhT+L6d3BCuI2wnEG6xUxsCIEkdZyLlN509LaDcz+JmiKN6e+xvLbm0+Zpo3ZeE\n" \
	"jxlT\n" \
	"-----END CERTIFICATE-----\n"
#define PEM_LEAF_NUL_CN \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIIBmjCCAUCgAwIBAgIULAFB/NRJOLKGZk/nuslW913xmXQwCgYIKoZIzj0EAwIw\n" \
	"EzERMA8GA1UEAwwITlVMIFJvb3QwIBcNMjYxMTIzMDAyMTE5WhgPMjEyNjEwMzAw\n" \
	"MDIxMTlaMCExHzAdBgNVBAMMFmFwaS50ZXN0AC5ldmlsLmV4YW1wbGUwWTATBgcq\n" \
	"hkjOPQIBBggqhkjOPQMBBwNCAARSt61dqoaxwFPCdJzmTn+/Xxxan6aT33r806gz\n" \
	"FCgBNd6sw/lL4qQoJxr6t+5w9+rUpjQIjWMz3w4qW7M+8Tgho2IwYDAJBgNVHRME\n" \
	"AjAAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB0GA1UdDgQWBBQRd4vrk6JSWp7Cxe/u\n" \
	"X67nxhM7kjAfBgNVHSMEGDAWgBSr5hlYBfBUe4CQVEKQvs7MD4xsBjAKBggqhkjO\n" \
	"PQQDAgNIADBFAiBB5lA/onodJSXzsGTWIIWDsNiPHBhJkiW4YmSAFu0rswIhAKn7\n" \
	"aUDOIwfB3Gd6YS/G/451iA4M/adfcYNhH0MZa8ii\n" \
	"-----END CERTIFICATE-----\n"
#define PEM_RSA \
	"-----BEGIN CERTIFICATE-----\n" \
	"MIICnTCCAkKgAwIBAgIUOJUuU4Vv9fvEi2hIUxIvNAxRlykwCgYIKoZIzj0EAwIw\n" \
	"HDEaMBgGA1UEAwwRVGVzdCBJbnRlcm1lZGlhdGUwIBcNMjAwMTAxMDAwMDAwWhgP\n" \
	"MjExOTEyMzEyMzU5NTlaMBMxETAPBgNVBAMMCGFwaS50ZXN0MIIBIjANBgkqhkiG\n" \
	"9w0BAQEFAAOCAQ8AMIIBCgKCAQEA6XlnQ0tTR9IaK9DfjRqtCbYi3BBrAieZ5rQX\n" \
	"dHsbbBWo48phyeaSVAyJKbN4NluXD3Lx5hmooReYdonv/sDnKIOI9nWtsgSDmadx\n" \
	"8PE5jSK0zsilWn3L/pATBdwEolEvVlO2gaTonyDPgf9o/FqW6rp1aFqrm6TCtqMa\n" \
	"2y7/JCy1p74tUlc7CoBAfV64kXBmNGA5n4RQt5BXC7rBRmiPM1YlyWT1lUUAGTlF\n" \
	"R3ifhQAv54w0T6AIiye+qrzcFw/gHWvTWn9uteLaPNxvnvW5siajHhMd0FRGVm1f\n" \
	"ePSOZuSzC6wIWULY/YSJt4kH2qHLx/5iqvrh5HUQVG4VvSjYhQIDAQABo4GdMIGa\n" \
	"MAkGA1UdEwQCMAAwEwYDVR0lBAwwCgYIKwYBBQUHAwEwOAYDVR0RBDEwL4IIYXBp\n" \
	"LnRlc3SCCyoud2lsZC50ZXN0hwR/AAABhxAAAAAAAAAAAAAAAAAAAAABMB0GA1Ud\n" \
	"DgQWBBRAlYoBVaJL0EjinmhZIKS0GEwvOzAfBgNVHSMEGDAWgBR5DRg6wqKGCOJx\n" \
	"yJSwUaRr3DUs6DAKBggqhkjOPQQDAgNJADBGAiEAykLWHA70mXXERFsT2TY2NxsD\n" \
	"MQ7d1jS4vW9i2HGbChMCIQCzL+IkO6MVoP49wv6LDP3pWWtQIOUqkE2bj1B3p7Fc\n" \
	"NQ==\n" \
	"-----END CERTIFICATE-----\n"
#define PEM_RSA_KEY \
	"-----BEGIN PRIVATE KEY-----\n" \
	"MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDpeWdDS1NH0hor\n" \
	"0N+NGq0JtiLcEGsCJ5nmtBd0extsFajjymHJ5pJUDIkps3g2W5cPcvHmGaihF5h2\n" \
	"ie/+wOcog4j2da2yBIOZp3Hw8TmNIrTOyKVafcv+kBMF3ASiUS9WU7aBpOifIM+B\n" \
	"/2j8WpbqunVoWqubpMK2oxrbLv8kLLWnvi1SVzsKgEB9XriRcGY0YDmfhFC3kFcL\n" \
	"usFGaI8zViXJZPWVRQAZOUVHeJ+FAC/njDRPoAiLJ76qvNwXD+Ada9Naf2614to8\n" \
	"3G+e9bmyJqMeEx3QVEZWbV949I5m5LMLrAhZQtj9hIm3iQfaocvH/mKq+uHkdRBU\n" \
	"bhW9KNiFAgMBAAECggEAOPS+sf45fBMfgtJjAt1/2pdl9CkGLeGizBLhiO8yXqD/\n" \
	"EUjxJ6u5xUrEmFl5qUsZNDHenLtkNZ5XuY1HcK63BZ1nB3boT34F67FbXMPAPjO6\n" \
	"B5sPqZ54KisUFPEaaU2kXmswIfrsq8s5jBVWk393Ax7HHxTFegQM4zixh8h0gip1\n" \
	"vuEpewADomZlxkUHr3AZjiQC+0WkshOfV/d0MOT3ryBMfIdweySbsra5wk/Tl00g\n" \
	"NrRffVYcZp5gp2qa7nz/qjnPr8rXoXD+Bgk+7F4aNORZUapwbWNRsE7Mrv1wZB9Q\n" \
	"jLoLQDZL2cplebufYPuxZ8tbfk7lHcEx0Pi2aSwqIQKBgQD4gzVE0RbDvpaMZOMk\n" \
	"uex0Kiqhr0f1c3NuEknEhYZu0E4hYSpNX9O1LmgNIOJ2cHMMpDpjIqmUkFR7W5tC\n" \
	"fcou2TNi9FRm/GLD4HnRMSs0RHp7teHa4eiRB41V0flR26u4rkDjk7nvEb1vyunu\n" \
	"48a+3g6waSnvuaUpkvUYPegUJQKBgQDwgjQ4vFhbr0zst2AhFBjkQOPggmrtviEX\n" \
	"LSPiwYd96r1PalLsaWKIKboFoq0bizsQCv/EZP3zdCZRcn18Gkavz02nF2ATdgfd\n" \
	"Jgwc//2ZYDKAXOVJKbG1ZvMj9bQl4apbqKN8tPQQEqS/KCAeVrU5J+hVhgCPQ97N\n" \
	"vOmkcVdU4QKBgQDgd8NZ0XK6hB//1/DDb5yAoMW5HVXmAs40khhHhkQTO9wWkmlf\n" \
	"Ujsr4CrkENv9Fz0UIhMLEHgUVPm6IthuiqhhAJdFvmOuUjHzs4LUzZC0uVXZAERt\n" \
	"LLigpy2mYu7MXZsSSXMbHIhJxMBThfkfamZOaMzj01mpywnAL5lquCA0cQKBgHxj\n" \
	"auzZBH3OyWM4aCBTi5gps3G/Idx51BVvhDrXyuKl0GlNXTvmOU6g/hPCEfPH67Ed\n" \
	"bzC85tbOAK9pHltcH6j393puzYLjLagD8InjH97+cMAQy4kuZjmi2CeGATkCYKBt\n" \
	"NLjfwca6TbiL4SivwaSg7jmlR47RFF+lz9T7xaYhAoGBAJMQc8aBZUXzW71MBaE9\n" \
	"P9RAlB+q0Lm4MXKzqi2gpVmCYAHyWFv6Yy9nHxbaatw3bQRU3ZiRlYQI4qbeObrY\n" \
	"wB5BI1q6QXLxdi0EpEDk6q0JFyGMcS/7vSTNRNTOyUfGXjSbPoLQXlIkPd4IWY7+\n" \
	"h/UX+I9iBVQUFSgj+xVpns5V\n" \
	"-----END PRIVATE KEY-----\n"
#define PEM_OTHER_KEY \
	"-----BEGIN PRIVATE KEY-----\n" \
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgc2tCGHFiEg4P7lzt\n" \
	"4Jzgn+RJu04LCyPt9ZjwhVY44hChRANCAARDFF8qI6LUa8Rc4KNtupA0vYpUlQ5m\n" \
	"liLlFBK3T2H5XKLhLnxzNdU5P4cnqD36AF1uVrpoi7+/Vu/qnd4syN+B\n" \
	"-----END PRIVATE KEY-----\n"
/* clang-format on */

/* Writes text to a new file; its name goes into path, which holds PKI_PATH bytes. */
#define PKI_PATH 64
static inline void
pki_file(char *path, const char *text)
{
	size_t n = strlen(text);
	int fd;

	strcpy(path, "/tmp/postern-unit-XXXXXX");
	fd = mkstemp(path);
	CHK(fd >= 0 && write(fd, text, n) == (ssize_t)n && close(fd) == 0);
}

/* A certificate and its key, in two such files. */
struct pki_pair {
	char files[2][PKI_PATH];
	struct config_pair config;
};

static inline void
pki_pair_put(struct pki_pair *p, const char *chain, const char *key)
{
	pki_file(p->files[0], chain);
	pki_file(p->files[1], key);
	p->config = (struct config_pair){p->files[0], p->files[1]};
}

static inline void
pki_pair_drop(struct pki_pair *p)
{
	unlink(p->files[0]);
	unlink(p->files[1]);
}

#endif
