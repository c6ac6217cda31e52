/* SPDX-License-Identifier: Apache-2.0 */
/* From frames to cells. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/decode.h"
#include "results/reader_internal.h"

/* The entry of a cell number. The one wanted is nearly always the last. */
static struct reader_entry *find_entry(struct reader *reader, uint64_t number)
{
	for (size_t i = reader->entry_count; i--;)
		if (reader->entries[i].public.number == number)
			return &reader->entries[i];
	return NULL;
}

static struct reader_entry *add_entry(struct reader *reader, uint64_t number, uint64_t session)
{
	struct reader_entry *entry;

	if (reader->entry_count == reader->entry_capacity) {
		size_t capacity = reader->entry_capacity ? reader->entry_capacity * 2 : 32;
		struct reader_entry *more = realloc(reader->entries, capacity * sizeof(*more));

		if (!more)
			return NULL;
		reader->entries = more;
		reader->entry_capacity = capacity;
	}
	entry = &reader->entries[reader->entry_count++];
	memset(entry, 0, sizeof(*entry));
	entry->public.number = number;
	entry->public.session = session;
	entry->end_frame = entry->times_frame = NO_CELL;
	if (number >= reader->overview.next_cell && number < UINT64_MAX)
		reader->overview.next_cell = number + 1;
	return entry;
}

/* The entry of a frame's cell. When the frame with the settings is lost, an entry that says so. */
static struct reader_entry *entry_of(struct reader *reader, uint64_t number, uint64_t session)
{
	struct reader_entry *entry = find_entry(reader, number);

	if (entry)
		return entry;
	entry = add_entry(reader, number, session);
	if (!entry)
		return NULL;
	entry->public.status = CELL_FAILED;
	snprintf(entry->public.reason, sizeof(entry->public.reason),
	        "the file is damaged: this cell's settings are lost");
	return entry;
}

static int take_cell(struct reader *reader, struct reader_frame *frame)
{
	struct reader_entry *entry;
	struct cell cell;
	uint64_t number;
	int err = decode_cell(&cell, &number, reader->payload, frame->length);

	if (err)
		return err;
	if (find_entry(reader, number))
		return -EBADMSG;
	entry = add_entry(reader, number, frame->session);
	if (!entry)
		return -ENOMEM;
	entry->public.cell = cell;
	frame->cell = (uint64_t)(entry - reader->entries);
	return 0;
}

static int take_records(struct reader *reader, struct reader_frame *frame)
{
	struct reader_entry *entry;

	reader->overview.records += frame->n;
	if (frame->cell == NO_CELL) {
		reader->overview.stray_records += frame->n;
		return 0;
	}
	entry = entry_of(reader, frame->cell, frame->session);
	if (!entry)
		return -ENOMEM;
	if (frame->first > entry->next_record)
		entry->public.missing += frame->first - entry->next_record;
	entry->next_record = frame->first + frame->n;
	entry->public.records += frame->n;
	frame->cell = (uint64_t)(entry - reader->entries);
	return 0;
}

static int take_cell_end(struct reader *reader, struct reader_frame *frame, struct cell_result *result)
{
	struct decode_cell_end end;
	struct reader_entry *entry;
	struct reader_cell *cell;
	int err = decode_cell_end(result, &end, reader->payload, frame->length);

	if (err)
		return err;
	entry = entry_of(reader, end.number, frame->session);
	if (!entry)
		return -ENOMEM;
	cell = &entry->public;
	frame->cell = (uint64_t)(entry - reader->entries);
	entry->end_frame = (uint64_t)(frame - reader->frames);
	/* A reason is there already when the settings are lost; that outweighs how the cell went. */
	if (!cell->reason[0]) {
		cell->status = (enum cell_status)result->status;
		memcpy(cell->reason, result->reason, sizeof(cell->reason));
	}
	cell->virtual_time = result->virtual_time;
	cell->dropped = end.dropped;
	entry->dropped_known = true;
	if (end.written > entry->next_record)
		cell->missing += end.written - entry->next_record;
	return 0;
}

static int take_cell_times(struct reader *reader, struct reader_frame *frame)
{
	struct decode_cell_times times;
	struct reader_entry *entry;
	int err = decode_cell_times(&times, reader->payload, frame->length);

	if (err)
		return err;
	entry = entry_of(reader, times.number, frame->session);
	if (!entry)
		return -ENOMEM;
	frame->cell = (uint64_t)(entry - reader->entries);
	entry->times_frame = (uint64_t)(frame - reader->frames);
	entry->public.wall_ns = times.wall_ns;
	entry->public.begun_unix_ns = times.begun_unix_ns;
	return 0;
}

/* Cells of a session that have no end get the session's reason, and what it dropped beyond the other cells. */
static void close_session(struct reader *reader, uint64_t session, const struct decode_end *end)
{
	struct reader_entry *open = NULL;
	uint64_t known = 0;

	for (size_t i = 0; i < reader->entry_count; i++) {
		struct reader_entry *entry = &reader->entries[i];

		if (entry->public.session != session)
			continue;
		known += entry->public.dropped;
		if (entry->end_frame != NO_CELL || entry->public.reason[0])
			continue;
		open = entry;
		if (end)
			snprintf(entry->public.reason, sizeof(entry->public.reason), "no result: %.200s",
			        end->reason[0] ? end->reason : "the frame with it is damaged");
		else
			snprintf(entry->public.reason, sizeof(entry->public.reason),
			        "no result: the file ends before the cell does");
	}
	if (!end || end->dropped <= known)
		return;
	if (open && !open->dropped_known)
		open->public.dropped = end->dropped - known;
	reader->overview.dropped += end->dropped - known;
}

static void take_end(struct reader *reader, const struct decode_end *end, uint64_t session)
{
	close_session(reader, session, end);
	reader->overview.ended = true;
	reader->overview.finished = end->finished;
	snprintf(reader->overview.end_reason, sizeof(reader->overview.end_reason), "%s", end->reason);
}

static void begin_session(struct reader *reader, const struct reader_frame *frame)
{
	static const char open_end[] = "the file has no end: the recorder was killed, or the run goes on";

	/* The session before: cells without an end, unless an END frame has closed it. */
	if (frame->session && !reader->overview.ended)
		close_session(reader, frame->session - 1, NULL);
	reader->overview.ended = reader->overview.finished = false;
	memcpy(reader->overview.end_reason, open_end, sizeof(open_end));
}

static int take(struct reader *reader, struct reader_frame *frame, struct cell_result *result, struct run_info *info)
{
	struct decode_end end;
	int err;

	/* RECORDS were looked into by the scan; they are most of the file. */
	if (frame->type == FRAME_RECORDS)
		return take_records(reader, frame);
	err = reader_load(reader, frame);
	if (err)
		return err;
	switch (frame->type) {
	case FRAME_RUN:
		begin_session(reader, frame);
		return decode_run(
		        info, reader->overview.io, sizeof(reader->overview.io), reader->payload, frame->length);
	case FRAME_HOST:
		return decode_host(info, reader->payload, frame->length);
	case FRAME_CELL:
		return take_cell(reader, frame);
	case FRAME_CELL_END:
		return take_cell_end(reader, frame, result);
	case FRAME_CELL_TIMES:
		return take_cell_times(reader, frame);
	case FRAME_END:
		err = decode_end(&end, reader->payload, frame->length);
		if (!err)
			take_end(reader, &end, frame->session);
		return err;
	}
	return 0; /* of a later version: not for us */
}

/* A cell that went wrong and ran again in a later session (run --resume) is history. */
static void mark_superseded(struct reader *reader)
{
	for (size_t i = 0; i < reader->entry_count; i++) {
		struct reader_cell *cell = &reader->entries[i].public;

		if (cell->status == CELL_OK || cell->session + 1 >= reader->overview.sessions)
			continue;
		for (size_t later = i + 1; later < reader->entry_count && !cell->superseded; later++) {
			const struct reader_cell *other = &reader->entries[later].public;

			cell->superseded = other->session > cell->session && cell_equal(&cell->cell, &other->cell);
		}
	}
}

static int collect(struct reader *reader, struct cell_result *result, struct run_info *info)
{
	for (size_t i = 0; i < reader->frame_count; i++) {
		int err = take(reader, &reader->frames[i], result, info);

		if (err == -EBADMSG) {
			/* The checksum is good, the contents are not: written by something else. */
			reader->frames[i].cell = NO_CELL;
			reader->frames[i].type = 0;
			reader->overview.frames--;
			reader->overview.damaged_frames++;
			reader->overview.damaged_bytes += FRAME_HEADER_BYTES + reader->frames[i].length;
		} else if (err) {
			return err;
		}
	}
	return 0;
}

int reader_collect(struct reader *reader)
{
	struct cell_result *result = malloc(sizeof(*result));
	struct run_info *info = malloc(sizeof(*info));
	int err = result && info ? 0 : -ENOMEM;

	snprintf(reader->overview.end_reason, sizeof(reader->overview.end_reason), "the file holds no run");
	if (!err)
		err = collect(reader, result, info);
	if (!err && reader->overview.sessions && !reader->overview.ended)
		close_session(reader, reader->overview.sessions - 1, NULL);
	for (size_t i = 0; i < reader->entry_count; i++) {
		reader->overview.missing += reader->entries[i].public.missing;
		if (reader->entries[i].dropped_known)
			reader->overview.dropped += reader->entries[i].public.dropped;
	}
	reader->overview.cells = reader->entry_count;
	mark_superseded(reader);
	if (!err)
		err = reader_find_rounds(reader);
	free(result);
	free(info);
	return err;
}
