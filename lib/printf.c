/* SPDX-License-Identifier: BSD-2-Clause */
#include "printf.h"

#include "string.h"

#include <stdbool.h>
#include <stdint.h>

void text_init(struct text *text, char *buffer, size_t size)
{
	*text = (struct text){.buffer = buffer, .size = size};
	buffer[0] = 0;
}

static void put(struct text *out, char c)
{
	if (out->length + 1 < out->size) {
		out->buffer[out->length] = c;
		out->buffer[out->length + 1] = 0;
	} else {
		out->full = true;
	}
	out->length++;
}

struct conversion {
	bool alternate, zero, is_long;
	int width, precision;
};

static void put_padded(struct text *out, const struct conversion *c, const char *s, int length)
{
	for (int i = length; i < c->width; i++)
		put(out, ' ');
	while (length--)
		put(out, *s++);
}

static void put_number(struct text *out, const struct conversion *c, uint64_t value, unsigned base,
		       bool negative)
{
	char digits[24];
	int at = sizeof(digits), used;
	const char *prefix = negative ? "-" : c->alternate && base == 16 ? "0x" : "";

	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	used = sizeof(digits) - at;
	for (int i = used + strlen(prefix); !c->zero && i < c->width; i++)
		put(out, ' ');
	for (const char *p = prefix; *p; p++)
		put(out, *p);
	for (int i = used + strlen(prefix); c->zero && i < c->width; i++)
		put(out, '0');
	while (at < (int)sizeof(digits))
		put(out, digits[at++]);
}

static const char *parse_conversion(const char *f, struct conversion *c)
{
	*c = (struct conversion){.precision = -1};
	for (; *f == '#' || *f == '0'; f++) {
		c->alternate |= *f == '#';
		c->zero |= *f == '0';
	}
	while (*f >= '0' && *f <= '9')
		c->width = c->width * 10 + *f++ - '0';
	if (*f == '.')
		for (f++, c->precision = 0; *f >= '0' && *f <= '9'; f++)
			c->precision = c->precision * 10 + *f - '0';
	for (; *f == 'l' || *f == 'z'; f++)
		c->is_long = true;
	return f;
}

static void format_into(struct text *out, const char *format, va_list args)
{
	struct conversion c;

	for (const char *f = format; *f; f++) {
		if (*f != '%') {
			put(out, *f);
			continue;
		}
		f = parse_conversion(f + 1, &c);
		switch (*f) {
		case 'c':
			put(out, va_arg(args, int));
			break;
		case 's': {
			const char *s = va_arg(args, const char *);
			int length = strlen(s);

			put_padded(out, &c, s,
				   c.precision >= 0 && c.precision < length ? c.precision : length);
			break;
		}
		case 'd': {
			int64_t v = c.is_long ? va_arg(args, long) : va_arg(args, int);

			put_number(out, &c, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0);
			break;
		}
		case 'u':
		case 'x': {
			uint64_t v = c.is_long ? va_arg(args, unsigned long)
					       : va_arg(args, unsigned int);

			put_number(out, &c, v, *f == 'u' ? 10 : 16, false);
			break;
		}
		case 0:
			return;
		default:
			put(out, *f);
		}
	}
}

void text_vappend(struct text *text, const char *format, va_list args)
{
	format_into(text, format, args);
}

void text_append(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	format_into(text, format, args);
	va_end(args);
}

int vsnprintf(char *to, size_t size, const char *format, va_list args)
{
	struct text out;

	text_init(&out, to, size);
	format_into(&out, format, args);
	return out.length;
}

int snprintf(char *to, size_t size, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(to, size, format, args);
	va_end(args);
	return length;
}
