# One library, called by Makefile: unpack ARCHIVE into D, compile SRC with CF into B/lib/libNAME.a, copy HDR to B/include.
ifeq ($(UNPACKED),)
all:
	@rm -rf $D $(D:$B/src/%=$B/obj/%) && mkdir -p $D $B/lib $B/include
	@tar -xf '$(ARCHIVE)' -C $D --strip-components=1
	@[ ! -f $D/include/mbedtls/mbedtls_config.h ] || cp mbedtls_config.h $D/include/mbedtls/
	+@$(MAKE) --no-print-directory -f one.mk UNPACKED=yes
	@cp -R $(HDR:%=$D/%) $B/include/
	@echo "deps: built lib$(NAME).a"
else
C := $(wildcard $(SRC:%=$D/%))
O := $(patsubst $B/src/%,$B/obj/%.o,$(basename $C))
$B/lib/lib$(NAME).a: $O
	@rm -f $@ && $(AR) rcs $@ $^
$B/obj/mbedtls/library/gcm.o: override CF += -O3 -include mbedtls_wide.h
$B/obj/%.o: $B/src/%.c
	@mkdir -p $(@D) && $(CC) $(CF) -c $< -o $@
$B/obj/%.o: $B/src/%.S
	@mkdir -p $(@D) && $(CC) $(CF) -c $< -o $@
endif
