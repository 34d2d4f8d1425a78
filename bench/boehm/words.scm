;;; SPDX-License-Identifier: MIT
;;;
;;; A Markov chain over the text of this machine, for Debian's guile-3.0.
;;; Every pair of words keeps the list of the words that followed it; then
;;; sentences are made, and each made sentence is learnt in turn, so that old
;;; lists change all the time. The last line is a hash of everything made.
;;;
;;;   guile --no-auto-compile words.scm [--seed=N] [--work=PCT] [--live-mb=N]

(use-modules (ice-9 ftw) (ice-9 textual-ports) (ice-9 getopt-long)
             (srfi srfi-1) (srfi srfi-13) (srfi srfi-14))

(define roots '("/usr/share/common-licenses" "/usr/share/doc" "/usr/include"))
(define file-min 64)
(define file-max 400000)
(define sentences-full 8000)
(define sentence-words 24)

(define (usage message)
  (format (current-error-port) "words.scm: ~a
Usage: guile --no-auto-compile words.scm [--seed=N] [--work=PCT] [--live-mb=N]\n"
          message)
  (exit 2))

(define (options args)
  (let ((o (getopt-long args '((seed (value #t)) (work (value #t)) (live-mb (value #t))
                               (quick (value #f)) (help (value #f))))))
    (define (number name default)
      (let* ((text (option-ref o name #f))
             (n (if text (string->number text) default)))
        (if (and (integer? n) (exact? n) (>= n 0))
            n
            (usage (format #f "--~a needs a whole number" name)))))
    (when (option-ref o 'help #f)
      (display "Usage: words.scm [--seed=N] [--work=PCT] [--live-mb=N] [--quick]\n")
      (exit 0))
    (list (number 'seed 1)
          (if (option-ref o 'quick #f) 40 (number 'work 100))
          (number 'live-mb 3))))

;; The same 64-bit xorshift as the C programs, kept below 2^61 so that it stays
;; a fixnum.
(define state 1)
(define mask (- (expt 2 60) 1))
(define (random-below n)
  (let* ((x state)
         (x (logxor x (logand mask (ash x 13))))
         (x (logxor x (ash x -7)))
         (x (logxor x (logand mask (ash x 17)))))
    (set! state x)
    (modulo (ash x -8) n)))

(define (mix h v)
  (logand mask (+ (* (logand h #xffffffffff) 1000003) v (ash h -31))))

;; Paths in sorted order: the same machine gives the same text.
(define (files-below path)
  (let ((st (false-if-exception (lstat path))))
    (cond ((not st) '())
          ((eq? (stat:type st) 'directory)
           (append-map (lambda (name) (files-below (string-append path "/" name)))
                       (or (scandir path (lambda (n) (not (member n '("." "..")))) string<?)
                           '())))
          ((and (eq? (stat:type st) 'regular)
                (<= file-min (stat:size st) file-max)
                (not (string-suffix? ".gz" path)))
           (list path))
          (else '()))))

(define (read-text path)
  (catch #t
    (lambda () (call-with-input-file path get-string-all #:encoding "ISO-8859-1"))
    (lambda (key . what) ; the result is another then, and this is why
      (format (current-error-port) "words.scm: ~a: ~a ~s\n" path key what)
      "")))

(define words (make-hash-table))    ; text -> the one string of that text
(define chain (make-hash-table))    ; (first . second) -> words that followed
(define starts (make-vector 4096 #f))
(define start-count 0)

(define (the-word text)
  (or (hash-ref words text)
      (begin (hash-set! words text text) text)))

;; Two words to one key. They are interned, so a symbol-like key is enough.
(define (key a b) (string-append a " " b))

(define (learn a b c)
  (let* ((k (key a b))
         (old (hash-ref chain k '())))
    (hash-set! chain k (cons c old))))

(define (learn-all list)
  (when (and (pair? list) (pair? (cdr list)))
    (let loop ((a (the-word (car list))) (b (the-word (cadr list))) (rest (cddr list)))
      (unless (null? rest)
        (let ((c (the-word (car rest))))
          (learn a b c)
          (loop b c (cdr rest)))))
    (vector-set! starts (modulo start-count 4096) (cons (car list) (cadr list)))
    (set! start-count (+ start-count 1))))

(define (sentence)
  (let ((start (vector-ref starts (random-below (min start-count 4096)))))
    (let loop ((a (car start)) (b (cdr start)) (n sentence-words) (made '()))
      (let ((next (hash-ref chain (key a b) '())))
        (if (or (zero? n) (null? next))
            (reverse made)
            (let ((c (list-ref next (random-below (min 64 (length next))))))
              (loop b c (- n 1) (cons c made))))))))

(define (main args)
  (let* ((o (options args))
         (seed (first o))
         (limit (* (third o) 1048576))
         (sentences (quotient (* sentences-full (second o)) 100)))
    (set! state (+ 88172645463325252 seed))
    (let loop ((files (append-map files-below roots)) (bytes 0))
      (unless (or (null? files) (>= bytes limit))
        (let ((text (read-text (car files))))
          (learn-all (string-tokenize text char-set:letter))
          (loop (cdr files) (+ bytes (string-length text))))))
    (when (zero? start-count)
      (format (current-error-port) "words.scm: no text found\n")
      (exit 1))
    (let loop ((n 0) (h 14695981))
      (if (< n sentences)
          (let* ((made (sentence))
                 (text (string-join made " ")))
            ;; What was made is learnt at once, in place of an old lesson.
            (when (> (length made) 3)
              (let ((k (key (car made) (cadr made))))
                (hash-set! chain k (list (caddr made)
                                         (last (hash-ref chain k made))))))
            (loop (+ n 1) (mix h (string-hash text 1152921504606846883))))
          (begin
            (format #t "words.scm: ~a words, ~a pairs, ~a sentences, seed ~a~%"
                    (hash-count (const #t) words) (hash-count (const #t) chain)
                    sentences seed)
            (format #t "hash: ~a~%"
                    (string-pad (number->string h 16) 16 #\0)))))))

(main (command-line))
