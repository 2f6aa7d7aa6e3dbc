/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the runner wants to know of this host before it runs a guest: the lines of /lab/ask, which are
 *
 *   file PATH            what is in it
 *   open PATH            whether it can be opened for reading and writing: nothing, or why not
 *   run INPUT ARGV…      what a program says on stdout, and then on stderr; INPUT is the path of its stdin
 *
 * Each answer goes out as messages P: "LINE\n" and a part of the answer (../common/message.h).
 */
#ifndef KVM_ASK_H
#define KVM_ASK_H

void answer_all(void);

#endif
