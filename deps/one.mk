# One library, called by Makefile: unpack ARCHIVE into D, compile SRC with CF into B/lib/libNAME.a, copy HDR to B/include.
ifeq ($(UNPACKED),)
all:
	@rm -rf $D $(D:$B/src/%=$B/obj/%) && mkdir -p $D $B/lib $B/include
	@tar -xf '$(ARCHIVE)' -C $D --strip-components=1
	@[ ! -f $D/include/mbedtls/mbedtls_config.h ] || \
	  { cp mbedtls_config.h gcm_alt.h $D/include/mbedtls/ && cp gcm_alt.c $D/library/; }
	+@$(MAKE) --no-print-directory -f one.mk UNPACKED=yes
	@$(if $(HDR),cp -R $(HDR:%=$D/%) $B/include/)
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
# Only ipsecmb has these. SAFE_DATA clears what is left of keys and text in the registers, as its own build does.
$B/obj/%.o: $B/src/%.asm
	@mkdir -p $(@D) && nasm -f elf64 -Xgnu -DLINUX -DSAFE_DATA -I$D/lib/ -P $(wildcard $D/lib/include/os.*) -P ipsecmb.inc $< -o $@
endif
